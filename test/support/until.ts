/** Looks until `condition` holds, more and more seldom; fails with `what` after `boundMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string | Promise<string>),
  boundMs = 5_000,
): Promise<void> {
  const startedMs = performance.now()
  while (!(await condition())) {
    const waitedMs = performance.now() - startedMs
    if (waitedMs > boundMs) throw new Error(`waited ${boundMs} ms in vain: ${typeof what === 'string' ? what : await what()}`)
    await sleep(Math.min(3 + waitedMs / 50, 25))
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** What a promise was rejected with; fails when it was not. */
export async function rejection(promise: PromiseLike<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    const value = await promise
    throw new Error(`was not rejected but gave ${JSON.stringify(value)}`, { cause: 'not rejected' })
  } catch (error) {
    if ((error as Error).cause === 'not rejected') throw error
    return error as Error & Record<string, unknown>
  }
}
