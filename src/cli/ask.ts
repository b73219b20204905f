import { createInterface } from 'node:readline/promises'

/** Somebody is there to answer. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true
}

/** A question on stderr, so that stdout carries nothing but the result. Anything but y or yes is no. */
export async function ask(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-C and the end of the input are no answer, and no is what that means.
  const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  try {
    const answer = lines.question(`${question} [y/N] `)
    answer.catch(() => undefined)
    return /^\s*y(es)?\s*$/i.test(await Promise.race([answer, closed]))
  } finally {
    lines.close()
  }
}
