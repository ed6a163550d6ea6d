import { testCases } from "./suites.ts";

testCases("images.test.ts");
