import type { Database } from '../../database/database.ts'
import { forget } from './forgetting.ts'
import { SimulatedDatabase } from './simulated-database.ts'
import { SqliteWorld } from './sqlite-world.ts'
import type { World } from './world.ts'
import type { ProcessDatabaseOptions, WorldDatabase } from './world-database.ts'

/** What the processes of one schedule have of the world's database, whichever that is. */
export class DatabasePorts {
  readonly #world: World
  readonly #database: WorldDatabase
  readonly #neighbours = new Set<SimulatedDatabase>()

  constructor(world: World, database: WorldDatabase) {
    this.#world = world
    this.#database = database
    database.begins(world)
  }

  /** For one more life of a process. */
  open(options: ProcessDatabaseOptions): Database<unknown> {
    const database = this.#database as SqliteWorld
    return new SimulatedDatabase({ ...options, sqlite: database, neighbours: this.#neighbours }) as Database<unknown>
  }

  /** All that a window knows is forgotten. False: not just now. */
  forget(topic: string, group: string): boolean {
    return this.#database instanceof SqliteWorld && forget(this.#database, this.#world, topic, group)
  }
}
