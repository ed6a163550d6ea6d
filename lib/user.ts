/** Whether this process is root: it may read what only root can, and must not show that to others. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
