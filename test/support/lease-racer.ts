/**
 * Takes leases by force, commits under them and lets go, against another process that does the same. Started as
 * `node lease-racer.ts '<config as JSON>'`.
 */
import { isOnefoldError } from '../../src/index.ts'
import { Ownership } from '../../src/ownership/ownership.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { EngineConfig } from './engine-access.ts'
import { openEngine } from './engine-access.ts'

const { at, rounds } = JSON.parse(process.argv[2] ?? '{}') as { at: EngineConfig; rounds: number }
const runtime = nodeRuntime()
const engine = await openEngine(at)
const database = engine.database()
await database.open({ runtime, dedupWindow: { ms: 3_600_000, maxIds: 1_000 } })
const ownership = new Ownership(database as never, runtime, 10_000)
await ownership.start()
for (let round = 0; round < rounds; round++) {
  const lease = await ownership.take(`p${round % 2}`, { force: round % 3 !== 0 })
  if (lease === undefined) continue
  const write = (table: 'given' | 'effect', guarded: boolean): Promise<unknown> =>
    database.write(
      async (session) => {
        if (guarded) await session.ownership.guard(lease)
        await engine.write(session.openTx().tx, `insert into ${table} values (?, ?, ?)`, lease.name, lease.epoch, process.pid)
      },
      { what: 'race' },
    )
  await write('given', false)
  for (let commit = 0; commit < 3; commit++) {
    try {
      await write('effect', true)
    } catch (error) {
      if (!isOnefoldError(error, 'FENCED')) throw error
    }
  }
}
await ownership.stop()
await database.close()
await engine.close()
console.log('done')
