import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryPostgres } from '../support/postgres.ts'
import { Place } from './run-onefold.ts'

const path = (name: string): string => JSON.stringify(fileURLToPath(new URL(`../../${name}`, import.meta.url)))

/** As a user would write it; `through` is what the handler writes through. */
const moduleText = (through: 'tx' | 'pool'): string => `import pg from ${path('node_modules/pg/lib/index.js')}
import { onefold, topic } from ${path('src/index.ts')}
import { postgres } from ${path('src/database/postgres/index.ts')}
const payments = topic('payments', { id: (p) => p.id, key: (p) => p.account })
const pool = new pg.Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/nothing' })
export default function makeApp() {
  const app = onefold({ database: postgres(pool) })
  app.consume(payments, 'ledger', async (p, { tx }) => {
    await ${through}.query('update account set balance = balance + $1 where id = $2', [p.amount, p.account])
  })
  return app
}
export const workload = [{ topic: payments, data: { id: 'p1', account: 'a', amount: 5 } }]
export const setup = async (client) => {
  await client.query("create table account (id text primary key, balance integer not null); insert into account values ('a', 0)")
}
export const invariants = {
  'a payment is booked once': async ({ get }) => (await get('select balance from account where id = $1', 'a')).balance === 5,
}
`

test('onefold prove MODULE of an app on PostgreSQL: without --postgres an error that names it, with it a certificate that names the server', async () => {
  const { url } = await temporaryPostgres()
  const place = new Place()
  place.write('app.ts', moduleText('tx'))
  const without = await place.onefold('prove app.ts')
  expect(without.code).toBe(1)
  expect(without.stderr).toContain('--postgres')
  const { code, stdout, stderr } = await place.onefold(['prove', 'app.ts', '--postgres', url, '--budget', '500ms'])
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(stdout).toMatch(/on a real PostgreSQL \d+\S*, in a database of its own .*: \d+(\.\d)? schedules? a second/)
}, 60_000)

test('a handler that writes through the pool: a violation, and a test is written that asks for a server and says no password', async () => {
  const { url } = await temporaryPostgres()
  const secret = new URL(url)
  secret.password = 'secret'
  const place = new Place()
  place.write('app.ts', moduleText('pool'))
  const written = ['--write-test', 'app.test.ts', '--budget', '20s']
  const { code, stdout } = await place.onefold(['prove', 'app.ts', '--postgres', secret.href, ...written])
  expect(code).toBe(1)
  expect(stdout).toContain('Violated: a payment is booked once')
  expect(stdout).toContain('not through tx')
  const text = readFileSync(place.path('app.test.ts'), 'utf8')
  expect(text).toContain(`const postgres = process.env.TEST_POSTGRES ?? '${url}'`)
  expect(text).toMatch(/invariants, postgres, replay: '\d+:\d+'/)
  expect(text).not.toContain('secret')
}, 60_000)
