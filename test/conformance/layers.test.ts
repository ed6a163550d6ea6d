import { testCases } from "./suites.ts";

testCases("layers.test.ts");
