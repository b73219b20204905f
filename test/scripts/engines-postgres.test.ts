import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { isFree } from '../../scripts/engines/free-port.ts'
import type { PostgresOptions, PostgresServer } from '../../scripts/engines/postgres.ts'
import { installHint, postgresPrograms, startPostgres } from '../../scripts/engines/postgres.ts'
import { rejection, until } from '../support/until.ts'

const program = fileURLToPath(new URL('../../scripts/engines/postgres.ts', import.meta.url))

async function started(options?: PostgresOptions): Promise<PostgresServer> {
  const server = await startPostgres(options)
  onTestFinished(() => server.stop())
  return server
}

async function connected(url: string): Promise<Client> {
  const client = new Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client(url)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

test('crash and restart: what was committed is there, what was not is gone, and the URL is the same', async () => {
  const server = await started()
  await query(server.url, 'create table kept (n integer)')
  const busy = await connected(server.url)
  const lost = new Promise((resolve) => busy.once('error', resolve))
  await busy.query('insert into kept values (1)')
  await busy.query('begin')
  await busy.query('insert into kept values (2)')
  await server.crash()
  await lost
  expect(await rejection(query(server.url, 'select 1'))).toMatchObject({ code: 'ECONNREFUSED' })
  await server.restart()
  const recovered = () => readFileSync(join(server.folder, 'log'), 'utf8').split('was not properly shut down').length - 1
  expect(recovered()).toBe(1)
  expect(await query(server.url, 'select n from kept')).toEqual([{ n: 1 }])
  await server.restart()
  expect(recovered()).toBe(1)
  expect(await query(server.url, 'select n from kept')).toEqual([{ n: 1 }])
}, 30_000)

test('two at once know nothing of each other; each listens on the loopback interface alone, syncs what it commits, and takes settings', async () => {
  const [one, other] = await Promise.all([started(), started({ settings: { max_connections: 21, 'test.note': "it's mine" } })])
  expect(one.port).not.toBe(other.port)
  expect(Math.max(one.port, other.port)).toBeLessThan(32_768)
  const settings = ['fsync', 'synchronous_commit', 'wal_level', 'listen_addresses', 'max_connections', 'test.note']
  const ask = `select ${settings.map((name) => `current_setting('${name}', true)`).join(` || ', ' || `)} as all`
  expect(await query(other.url, ask)).toEqual([{ all: "on, on, logical, 127.0.0.1, 21, it's mine" }])
  await query(one.url, 'create table mine (n integer)')
  expect(await query(other.url, "select to_regclass('mine') as mine")).toEqual([{ mine: null }])
  await one.stop()
  expect([existsSync(one.folder), await isFree(one.port)]).toEqual([false, true])
  expect(await query(other.url, 'select 1 as n')).toEqual([{ n: 1 }])
}, 30_000)

test('on the command line: start prints the URL, also again; url finds it; kill and start keep data and port; stop ends it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'onefold-postgres-'))
  const run = async (command: string): Promise<string> =>
    (await promisify(execFile)(process.execPath, [program, command, folder], { timeout: 60_000 })).stdout
  onTestFinished(async () => {
    await run('stop')
    rmSync(folder, { recursive: true })
  })
  expect((await rejection(run('url'))).stderr).toBe(`no PostgreSQL server is running in ${folder}\n`)
  const said = await run('start')
  const url = said.trim()
  expect(await run('start')).toBe(said)
  expect(await run('url')).toBe(said)
  await query(url, 'create table kept as select 1 as n')
  await run('kill')
  await until(async () => (await rejection(run('url'))).stderr !== undefined, 'it is down')
  expect(await run('start')).toBe(said)
  expect(await query(url, 'select n from kept')).toEqual([{ n: 1 }])
  await run('stop')
  expect(await rejection(query(url, 'select 1'))).toMatchObject({ code: 'ECONNREFUSED' })
  expect((await rejection(run('begin'))).stderr).toMatch(/^usage: postgres.ts start\|stop\|kill\|url/)
}, 30_000)

test('a server that cannot start says why', async () => {
  const error = await rejection(startPostgres({ settings: { max_connections: 'many' } }))
  expect(error.message).toMatch(/^pg_ctl start in .*\n[\s\S]*invalid value for parameter "max_connections": "many"/)
}, 30_000)

test('the newest PostgreSQL is taken, by number; without any, the sentence says how to install it', () => {
  expect(postgresPrograms()).toMatch(/bin$/)
  expect(installHint).toMatch(/apt-get install .*postgresql/)
})
