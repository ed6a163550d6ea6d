/**
 * Works on items, at most `limit` at a time. The first failure is thrown at once, without waiting for the others: they see
 * `isStopped` from then on, and must not touch anything any more.
 */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, isStopped: () => boolean) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  let stopped = false;
  const isStopped = () => stopped;
  const worker = async () => {
    for (const item of queue) {
      if (stopped) return;
      await work(item, isStopped);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  } finally {
    stopped = true;
  }
}
