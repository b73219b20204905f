import { createInterface } from 'node:readline/promises'

/** Somebody is there to answer. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true
}

/** A question on stderr, so that stdout carries nothing but the result. Anything but y or yes is no. */
export async function ask(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^\s*y(es)?\s*$/i.test(await lines.question(`${question} [y/N] `))
  } finally {
    lines.close()
  }
}
