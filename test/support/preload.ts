/** Run before every test file, see bunfig.toml. */
import { setDefaultTimeout } from "bun:test";
import { hangMs } from "./harness.ts";

setDefaultTimeout(hangMs);
