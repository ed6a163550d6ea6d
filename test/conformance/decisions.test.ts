import { testCases } from "./suites.ts";

testCases("decisions.test.ts");
