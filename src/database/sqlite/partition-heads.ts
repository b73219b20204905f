import type { Statements } from './statements.ts'

/**
 * The last offset of every partition this transaction appends to, kept in memory until COMMIT: one update per partition
 * and commit instead of one per message. Rolling back to a savepoint gives its offsets back.
 */
export class PartitionHeads {
  readonly #statements: Statements
  readonly #heads = new Map<number, number>()
  /** Partition and its head before the change, in order. */
  readonly #undo: number[] = []

  constructor(statements: Statements) {
    this.#statements = statements
  }

  next(partition: number): number {
    let head = this.#heads.get(partition)
    if (head === undefined) {
      head = this.#statements.sql('select head from {p}partition where partition = ?').get<{ head: number }>(partition)?.head ?? 0
    }
    this.#undo.push(partition, head)
    this.#heads.set(partition, head + 1)
    return head + 1
  }

  mark(): number {
    return this.#undo.length
  }

  undoTo(mark: number): void {
    while (this.#undo.length > mark) {
      const head = this.#undo.pop() as number
      this.#heads.set(this.#undo.pop() as number, head)
    }
  }

  flush(): void {
    for (const [partition, head] of this.#heads)
      this.#statements.sql('update {p}partition set head = ? where partition = ?').run(head, partition)
    this.clear()
  }

  clear(): void {
    if (this.#heads.size > 0) this.#heads.clear()
    this.#undo.length = 0
  }
}
