import type { Desk } from "./desk.ts";

export async function diff(_desk: Desk): Promise<number> {
  return 1;
}
