/**
 * vitest's global set-up: one PostgreSQL server for the whole run, started when the first test asks for it. A run that needs
 * none pays nothing, and on a machine without PostgreSQL only those tests fail that need it.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { freePort } from '../../scripts/engines/free-port.ts'
import type { PostgresServer } from '../../scripts/engines/postgres.ts'
import { startPostgres } from '../../scripts/engines/postgres.ts'
import { stopAfterwards } from '../../scripts/engines/stop-afterwards.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where to ask for the server; it answers with a `PostgresAnswer`. */
    postgresOnDemand: string
  }
}

export type PostgresAnswer = { readonly url: string } | { readonly problem: string }

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  let starting: Promise<PostgresServer> | undefined
  const folder = mkdtempSync(join(tmpdir(), 'onefold-postgres-'))
  const dismissGuard = stopAfterwards(folder)
  const onDemand = createServer((_request, response) => {
    starting ??= startPostgres({ folder })
    const answered: Promise<PostgresAnswer> = starting.then(
      ({ url }) => ({ url }),
      (error: Error) => ({ problem: error.message }),
    )
    void answered.then((answer) => response.end(JSON.stringify(answer)))
  })
  const port = await freePort()
  await once(onDemand.listen(port, '127.0.0.1').unref(), 'listening')
  project.provide('postgresOnDemand', `http://127.0.0.1:${port}`)

  return async () => {
    onDemand.close()
    onDemand.closeAllConnections()
    await (await starting?.catch(() => undefined))?.stop()
    dismissGuard()
    rmSync(folder, { recursive: true })
  }
}
