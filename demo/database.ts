/** The database of a run: files in its folder, or schemas of its own on a PostgreSQL server. */
import { randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { startPostgres } from '../scripts/engines/postgres.ts'
import { stopAfterwards } from '../scripts/engines/stop-afterwards.ts'
import type { DemoDatabase, DemoOptions } from './options.ts'
import { dropSchemas } from './postgres-tables.ts'

/** Where a process finds the database of its run, as it is told on its command line. */
export type Place =
  | { readonly engine: 'sqlite'; readonly dir: string }
  | { readonly engine: 'postgres'; readonly url: string; readonly schema: string }

/** What a demo's runs work on, one after the other. */
export interface Databases {
  /** For one run, which makes it. `dir`: its folder. */
  place(dir: string): Place
  /** Takes away what was made on a server. */
  close(): Promise<void>
}

/** `dir`: all that has files keeps them there. */
export async function openDatabases(database: DemoDatabase, dir: string, options: Pick<DemoOptions, 'dir'>): Promise<Databases> {
  if (database === 'sqlite') return { place: (folder) => ({ engine: 'sqlite', dir: folder }), close: async () => {} }
  const server = database === 'postgres' ? await ownServer(dir, options.dir === undefined) : undefined
  const url = server?.url ?? database
  const name = `onefold_demo_${randomBytes(4).toString('hex')}`
  const schemas: string[] = []
  return {
    place() {
      const schema = `${name}_${schemas.length + 1}`
      schemas.push(schema)
      return { engine: 'postgres', url, schema }
    },
    async close() {
      if (server !== undefined) return server.stop()
      if (options.dir === undefined) await dropSchemas(url, schemas)
    },
  }
}

async function ownServer(dir: string, temporary: boolean): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const folder = join(dir, 'postgres')
  // The server runs as another user, who must get there.
  if (temporary) chmodSync(dir, 0o711)
  const stopped = temporary ? stopAfterwards(folder) : (): void => {}
  const server = await startPostgres({ folder })
  return {
    url: server.url,
    async stop() {
      await server.stop()
      stopped()
    },
  }
}
