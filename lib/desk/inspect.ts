import type { Desk } from "./desk.ts";

export async function inspect(_desk: Desk): Promise<number> {
  return 1;
}
