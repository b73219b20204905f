import { expect, test, vi } from 'vitest'
import type { SqliteConnection, SqliteStatement, SqlValue } from '../../../src/database/sqlite/connection.ts'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import { replaceGlobals } from '../../../src/runtime/replaced-globals.ts'
import { CommittedReads } from '../../../src/testing/simulator/committed-reads.ts'
import { SqliteWorld } from '../../../src/testing/simulator/sqlite-world.ts'
import { surroundings } from '../../../src/testing/simulator/surroundings.ts'
import { correctApplications } from './support/correct-applications.ts'
import { RandomSchedules } from './support/random-schedule.ts'

const count = 'select count(*) as rows from onefold_source'

function world(setup?: string): { sqlite: SqliteWorld; rows: () => number | undefined; write: (sql: string) => void } {
  const sqlite = new SqliteWorld(nodeRuntime(), setup === undefined ? undefined : (database) => database.exec(setup))
  sqlite.reset()
  const { committedReads, connection } = sqlite
  const write = (sql: string): void => {
    connection.exec('begin')
    committedReads.runs(sql)
    connection.exec(sql)
    connection.exec('commit')
  }
  return { sqlite, write, rows: () => committedReads.prepare(count).get<{ rows: number }>()?.rows }
}

test('a query is answered from memory until a statement writes to one of its tables', () => {
  const { sqlite, rows, write } = world()
  expect(rows()).toBe(0)
  // Behind its back: what it answers now is what it remembers.
  sqlite.connection.exec("insert into onefold_source (name) values ('a')")
  expect(rows()).toBe(0)
  write("insert into onefold_window (topic, grp) values ('t', 'g')")
  expect(rows()).toBe(0)
  write("insert into onefold_source (name) values ('b')")
  expect(rows()).toBe(2)
  sqlite.close()
})

test('what a transaction has written so far is read, and not remembered', () => {
  const { sqlite, rows } = world()
  const { committedReads } = sqlite
  const run = (sql: string): void => void committedReads.prepareToRun(sql).run()
  expect(rows()).toBe(0)
  run('begin immediate')
  run("insert into onefold_source (name) values ('a')")
  expect(rows()).toBe(1)
  run('savepoint one')
  run("insert into onefold_source (name) values ('b')")
  expect(rows()).toBe(2)
  run('rollback to one')
  expect(rows()).toBe(1)
  run('rollback')
  expect(rows()).toBe(0)
  sqlite.close()
})

test('in a transaction, what it has not written to is answered from memory', () => {
  const { sqlite, rows } = world()
  const { committedReads } = sqlite
  const run = (sql: string): void => void committedReads.prepareToRun(sql).run()
  expect(rows()).toBe(0)
  run('begin immediate')
  run("insert into onefold_window (topic, grp) values ('t', 'g')")
  // Behind its back.
  sqlite.connection.exec("insert into onefold_source (name) values ('a')")
  expect(rows()).toBe(0)
  run('commit')
  sqlite.close()
})

test('a statement that changes nothing does not count as written; one that fails does', () => {
  const { sqlite, rows, write } = world()
  const run = (sql: string): void => void sqlite.committedReads.prepareToRun(sql).run()
  write("insert into onefold_source (name) values ('a')")
  expect(rows()).toBe(1)
  sqlite.connection.exec("insert into onefold_source (name) values ('behind its back')")
  run("insert into onefold_source (name) values ('a') on conflict do nothing")
  expect(rows()).toBe(1)
  expect(() => run("insert into onefold_source (name) values ('a')")).toThrow()
  expect(rows()).toBe(2)
  sqlite.close()
})

test.for([
  ['a view in its text', undefined, "insert into onefold_source (name) select 'a' from onefold_message union select 'b'"],
  [
    'a common table expression',
    undefined,
    "with one as (select 'a' as name) insert into onefold_source (name) select name from one",
  ],
  [
    'a trigger of the user that writes to it',
    `create table own (a text); create trigger tell after insert on own begin insert into onefold_source (name) values (new.a); end`,
    "insert into own values ('a')",
  ],
] as const)('a statement that writes to a table by way of %s is not missed', ([, setup, sql]) => {
  const { sqlite, rows, write } = world(setup)
  const before = rows() ?? 0
  write(sql)
  expect(rows()).toBe(before + 1)
  sqlite.close()
})

test('in random schedules of applications of many kinds every remembered answer is what the database answers', {
  timeout: 60_000,
}, async () => {
  using globals = replaceGlobals(surroundings)
  let compared = 0
  const comparing = (statement: SqliteStatement, sql: string): SqliteStatement => {
    if (!/^\s*select\b/i.test(sql)) return statement
    const fresh = connections.at(-1)?.prepare(sql)
    const compare =
      (method: 'get' | 'all') =>
      <R>(...params: SqlValue[]): R => {
        const answer = statement[method](...params) as R
        compared++
        expect(answer, sql).toEqual(fresh?.[method](...params))
        return answer
      }
    return { ...statement, get: compare('get'), all: compare('all') } as typeof statement
  }
  const { prepare, prepareToRun } = CommittedReads.prototype
  using _reading = vi.spyOn(CommittedReads.prototype, 'prepare').mockImplementation(function (this: CommittedReads, sql) {
    return comparing(prepare.call(this, sql), sql)
  })
  using _writing = vi.spyOn(CommittedReads.prototype, 'prepareToRun').mockImplementation(function (this: CommittedReads, sql) {
    return comparing(prepareToRun.call(this, sql), sql)
  })
  const connections: SqliteConnection[] = []
  const begun = Object.getOwnPropertyDescriptor(SqliteWorld.prototype, 'reset')?.value as () => void
  using _reset = vi.spyOn(SqliteWorld.prototype, 'reset').mockImplementation(function (this: SqliteWorld) {
    connections.push(this.connection)
    begun.call(this)
  })
  for (const { application, options } of Object.values(correctApplications)) {
    using schedules = new RandomSchedules(application, options)
    for (let seed = 0; seed < 3; seed++) expect((await schedules.run(seed)).violations).toEqual([])
  }
  expect(compared).toBeGreaterThan(10_000)
  expect(globals).toBeDefined()
})
