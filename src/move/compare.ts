import { hash } from 'node:crypto'
import type { MovedRow, MovedTable, MoveSource, MoveTarget } from './move-store.ts'
import { movedTables } from './move-store.ts'
import { pageLimits, stored } from './pages.ts'

/** What a table holds, whatever the order: how many rows, and the sum of their digests. */
export interface Content {
  readonly rows: number
  /** Hexadecimal, of 128 bits. */
  readonly checksum: string
}

export interface Comparison {
  readonly table: string
  readonly source: Content
  readonly target: Content
  readonly same: boolean
}

const modulus = 2n ** 128n

class Sum {
  #rows = 0
  #sum = 0n

  add(rows: readonly MovedRow[]): void {
    this.#rows += rows.length
    for (const row of rows) this.#sum += BigInt(`0x${hash('sha256', JSON.stringify(row)).slice(0, 32)}`)
    this.#sum %= modulus
  }

  get content(): Content {
    return { rows: this.#rows, checksum: this.#sum.toString(16).padStart(32, '0') }
  }
}

/** Reads both sides again, from the first row to the last. */
export async function compare(source: MoveSource, target: MoveTarget, onTable?: (name: string) => void): Promise<Comparison[]> {
  const found: Comparison[] = []
  for (const table of movedTables) {
    onTable?.(table.name)
    const here = await ofSource(source, table)
    const there = new Sum()
    for await (const rows of target.rows(table)) there.add(rows)
    const same = here.rows === there.content.rows && here.checksum === there.content.checksum
    found.push({ table: table.name, source: here, target: there.content, same })
  }
  return found
}

async function ofSource(source: MoveSource, table: MovedTable): Promise<Content> {
  const sum = new Sum()
  let after: string | undefined
  for (;;) {
    const page = await source.page(table, after, pageLimits)
    sum.add(stored(table, page.rows))
    if (page.last) return sum.content
    after = page.after
  }
}
