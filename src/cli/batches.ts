interface Entry<Item> {
  readonly item: Item
  readonly bytes: number
}

/**
 * Hands items on in order and in batches, one batch under way while the next one fills. A batch leaves as soon as the one
 * before is done, so a trickle is passed on at once and a flood travels in full batches; `add` waits while both are full.
 */
export class Batches<Item> {
  readonly #send: (items: readonly Item[]) => Promise<void>
  readonly #maxItems: number
  readonly #maxBytes: number
  #waiting: Entry<Item>[] = []
  #waitingBytes = 0
  #underWay: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(options: { maxItems: number; maxBytes: number; send: (items: readonly Item[]) => Promise<void> }) {
    this.#send = options.send
    this.#maxItems = options.maxItems
    this.#maxBytes = options.maxBytes
  }

  /** Answers a promise only when the caller has to wait. @throws what `send` has thrown. */
  add(item: Item, bytes: number): Promise<void> | undefined {
    this.#waiting.push({ item, bytes })
    this.#waitingBytes += bytes
    return this.#full() ? this.#makeRoom() : undefined
  }

  async #makeRoom(): Promise<void> {
    while (this.#full()) {
      this.#next()
      await this.#underWay
      this.#check()
    }
  }

  /** Sends what waits, if nothing is under way. */
  flush(): void {
    this.#check()
    this.#next()
  }

  /** Resolves when everything added was sent. @throws what `send` has thrown. */
  async finish(): Promise<void> {
    this.#next()
    while (this.#underWay !== undefined) await this.#underWay
    this.#check()
  }

  #full(): boolean {
    return this.#waiting.length >= this.#maxItems || this.#waitingBytes >= this.#maxBytes
  }

  #next(): void {
    if (this.#underWay !== undefined || this.#waiting.length === 0 || this.#failure !== undefined) return
    const items = this.#waiting.map((entry) => entry.item)
    this.#waiting = []
    this.#waitingBytes = 0
    this.#underWay = this.#send(items).then(
      () => this.#done(),
      (error: unknown) => {
        this.#failure = { error }
        this.#underWay = undefined
      },
    )
  }

  #done(): void {
    this.#underWay = undefined
    this.#next()
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
