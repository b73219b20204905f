/** One line of the input; `bytes` is absent when it was longer than allowed. */
export interface Line {
  /** 1 for the first. */
  readonly number: number
  readonly bytes: Uint8Array | undefined
}

const newline = 0x0a

/**
 * Cuts a stream of bytes into lines, as many at a time as one chunk holds. A line longer than `maxBytes` is reported
 * without its bytes, and never kept: whatever the input, no more than `maxBytes` and a chunk are in memory.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<readonly Line[]> {
  let number = 0
  let begun: Uint8Array[] = []
  let begunBytes = 0
  const take = (part: Uint8Array) => {
    begunBytes += part.byteLength
    if (begunBytes > maxBytes) begun = []
    else if (part.byteLength > 0) begun.push(part)
  }
  const finish = (): Line => {
    number += 1
    const [only] = begun
    const whole = begun.length === 1 && only !== undefined ? only : Buffer.concat(begun)
    const line = { number, bytes: begunBytes > maxBytes ? undefined : whole }
    begun = []
    begunBytes = 0
    return line
  }
  for await (const chunk of chunks) {
    const lines: Line[] = []
    let from = 0
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      take(chunk.subarray(from, at))
      lines.push(finish())
      from = at + 1
    }
    take(chunk.subarray(from))
    if (lines.length > 0) yield lines
  }
  if (begunBytes > 0) yield [finish()]
}
