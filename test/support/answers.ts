/** Whether an HTTP server answers, and with success. */
export function answers(url: string, init?: BunFetchRequestInit): Promise<boolean> {
  return fetch(url, init).then(
    ({ ok }) => ok,
    () => false,
  );
}
