/**
 * Aborts as soon as one of its sources does, with the same reason, until it is disposed: after that it hears of nothing any more.
 *
 * What `AbortSignal.any` gives is kept alive by Node for as long as somebody listens and no source has aborted, however long nobody
 * else has known it: a listener that is never taken away costs memory for good. This one is garbage when it is disposed.
 */
export class AnySignal implements Disposable {
  readonly #sources: readonly AbortSignal[]
  #controller: AbortController | undefined
  #follow: (() => void) | undefined

  constructor(sources: readonly AbortSignal[]) {
    this.#sources = sources
  }

  /** Without a signal being made for it. */
  get aborted(): boolean {
    return this.#controller?.signal.aborted ?? this.#sources.some((source) => source.aborted)
  }

  get signal(): AbortSignal {
    if (this.#controller !== undefined) return this.#controller.signal
    const controller = new AbortController()
    this.#controller = controller
    const already = this.#sources.find((source) => source.aborted)
    if (already !== undefined) controller.abort(already.reason)
    else {
      const follow = (): void => {
        const reason: unknown = this.#sources.find((source) => source.aborted)?.reason
        this[Symbol.dispose]()
        controller.abort(reason)
      }
      this.#follow = follow
      for (const source of this.#sources) source.addEventListener('abort', follow, { once: true })
    }
    return controller.signal
  }

  [Symbol.dispose](): void {
    const follow = this.#follow
    if (follow === undefined) return
    this.#follow = undefined
    for (const source of this.#sources) source.removeEventListener('abort', follow)
  }
}
