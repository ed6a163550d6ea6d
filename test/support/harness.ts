/** What tests of the executable need, in one import. */
export * from "./answers.ts";
export * from "./restorer-path.ts";
export * from "./run-restorer.ts";
export * from "./skip.ts";
export * from "./snapshot.ts";
export * from "./tree.ts";
