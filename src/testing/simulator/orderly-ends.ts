import type { App } from '../../app.ts'
import { isOnefoldError } from '../../errors.ts'
import type { Awaitable } from '../../message.ts'
import type { Incarnation, World } from './world.ts'
import type { WorldDatabase } from './world-database.ts'

/** Processes that are told to stop, and what they must have given back when they say that they have. */
export class OrderlyStops {
  readonly #world: World
  readonly #database: WorldDatabase
  readonly #stopping = new Set<Incarnation>()
  readonly #wrongs: string[] = []
  #failed = 0

  constructor(world: World, database: WorldDatabase) {
    this.#world = world
    this.#database = database
  }

  get underWay(): boolean {
    return this.#stopping.size > 0
  }

  begin(self: Incarnation, app: App<unknown>, how: 'in good order' | 'at once'): void {
    self.stop = undefined
    this.#world.tell(self, `is told to stop${how === 'at once' ? ' at once' : ''}`)
    this.#stopping.add(self)
    self.onDeath.push(() => void this.#stopping.delete(self))
    app.stop(how === 'at once' ? { drainMs: 0 } : {}).then(
      () => {
        const ends = (left: string): void => {
          if (left !== '') this.#wrongs.push(`${self} has stopped in good order, and still holds ${left}.`)
          this.#world.end(self)
        }
        const left = this.#database.heldBy(self.pid)
        if (typeof left === 'string') ends(left)
        else void left.then(ends)
      },
      (error: unknown) => {
        this.#failed++
        // The database refused even that: whoever ends now is taken over like one that was killed.
        if (isOnefoldError(error) && error.retry !== 'never')
          this.#world.crash(self, `by itself, for it cannot stop: ${error.code}`)
        else this.#world.trouble ??= error instanceof Error ? error : new Error(String(error))
      },
    )
  }

  async wrongs(): Promise<readonly string[]> {
    const { uncleanEnds } = this.#world
    if (uncleanEnds > 0 || this.#failed > 0) return this.#wrongs
    const counted = await this.#database.uncleanEnds()
    if (counted === undefined) return this.#wrongs
    return [...this.#wrongs, `The lease ${counted} counts an unclean end, and no process was killed or frozen.`]
  }
}

/** Somebody who waits until the workers are idle, as a test or a deployment does. */
export class IdleWatch {
  readonly #world: World
  /** It is too early to ask as long as this is false. */
  readonly #ready: () => boolean
  /** What is there to be done. */
  readonly #left: () => Awaitable<string>
  /** How often somebody has made new work meanwhile: what is read may be no longer so when it is answered. */
  readonly #acts: () => number
  readonly #seen = new WeakSet<Incarnation>()
  readonly wrongs: string[] = []

  constructor(
    world: World,
    options: { readonly ready: () => boolean; readonly left: () => Awaitable<string>; readonly acts: () => number },
  ) {
    this.#world = world
    this.#ready = options.ready
    this.#left = options.left
    this.#acts = options.acts
  }

  async ask(self: Incarnation, app: App<unknown>): Promise<void> {
    while (!this.#ready()) await this.#soon(self)
    for (;;) {
      const acts = this.#acts()
      await this.#idle(self, app)
      const asked = this.#left()
      const left = typeof asked === 'string' ? asked : await asked
      if (left === '') break
      if (acts !== this.#acts()) continue
      this.wrongs.push(`${self} says that it is idle, and there is work left (${left}).`)
      break
    }
    this.#seen.add(self)
  }

  /** Whoever is told that nobody knows asks again. */
  async #idle(self: Incarnation, app: App<unknown>): Promise<void> {
    for (;;) {
      try {
        return await app.idle()
      } catch (error) {
        if (!isOnefoldError(error) || error.retry === 'never') throw error
        await this.#soon(self)
      }
    }
  }

  #soon(self: Incarnation): Promise<void> {
    return new Promise((resolve) => void this.#world.timer(self, 1, resolve))
  }

  seenBy(lives: readonly Incarnation[]): boolean {
    return lives.every((life) => life.dead || !life.name.startsWith('worker') || this.#seen.has(life))
  }
}
