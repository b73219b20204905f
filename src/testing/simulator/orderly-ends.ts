import type { App } from '../../app.ts'
import { isOnefoldError } from '../../errors.ts'
import type { SqliteWorld } from './sqlite-world.ts'
import type { Incarnation, World } from './world.ts'

/** Processes that are told to stop, and what they must have given back when they say that they have. */
export class OrderlyStops {
  readonly #world: World
  readonly #sqlite: SqliteWorld
  readonly #stopping = new Set<Incarnation>()
  readonly #wrongs: string[] = []
  #failed = 0

  constructor(world: World, sqlite: SqliteWorld) {
    this.#world = world
    this.#sqlite = sqlite
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
        const left = this.#sqlite.heldBy(self.pid)
        if (left !== '') this.#wrongs.push(`${self} has stopped in good order, and still holds ${left}.`)
        this.#world.end(self)
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

  wrongs(): readonly string[] {
    const { uncleanEnds } = this.#world
    if (uncleanEnds > 0 || this.#failed > 0) return this.#wrongs
    const counted = this.#sqlite.uncleanEnds
    if (counted === undefined) return this.#wrongs
    return [...this.#wrongs, `The lease ${counted} counts an unclean end, and no process was killed or frozen.`]
  }
}

/** Somebody who waits until the workers are idle, as a test or a deployment does. */
export class IdleWatch {
  readonly #world: World
  /** What is there to be done; undefined: it is too early to ask. */
  readonly #left: () => string | undefined
  readonly #seen = new WeakSet<Incarnation>()
  readonly wrongs: string[] = []

  constructor(world: World, left: () => string | undefined) {
    this.#world = world
    this.#left = left
  }

  async ask(self: Incarnation, app: App<unknown>): Promise<void> {
    while (this.#left() === undefined) await new Promise<void>((resolve) => void this.#world.timer(self, 1, resolve))
    await app.idle()
    const left = this.#left()
    if (left !== '') this.wrongs.push(`${self} says that it is idle, and there is work left (${left}).`)
    this.#seen.add(self)
  }

  seenBy(lives: readonly Incarnation[]): boolean {
    return lives.every((life) => life.dead || !life.name.startsWith('worker') || this.#seen.has(life))
  }
}
