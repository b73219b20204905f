/**
 * Takes leases by force, commits under them and lets go, against another process that does the same. Started as
 * `node lease-racer.ts '<config as JSON>'`.
 */
import { SqliteDatabase } from '../../src/database/sqlite/sqlite-database.ts'
import { isOnefoldError } from '../../src/index.ts'
import { Ownership } from '../../src/ownership/ownership.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'

const { file, rounds } = JSON.parse(process.argv[2] ?? '{}') as { file: string; rounds: number }
const runtime = nodeRuntime()
const database = new SqliteDatabase(file)
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
        session.openTx().tx.run(`insert into ${table} values (?, ?, ?)`, lease.name, lease.epoch, process.pid)
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
console.log('done')
