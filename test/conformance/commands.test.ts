import { testCases } from "./suites.ts";

testCases("commands.test.ts");
