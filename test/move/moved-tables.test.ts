import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { ownTables } from '../../src/database/postgres/move-target.ts'
import { migrations as postgresMigrations } from '../../src/database/postgres/schema.ts'
import { leftBehind, pageQuery, renamed } from '../../src/database/sqlite/moved-queries.ts'
import { migrations } from '../../src/database/sqlite/schema.ts'
import { movedTables } from '../../src/move/move-store.ts'
import { temporaryPostgres } from '../support/postgres.ts'

/** Kept in the source, but not the messages' own: worked out anew in the target, or of processes and files. */
const notMoved: Readonly<Record<string, readonly string[]>> = {
  generation: ['dropped', 'filter'],
  lease: ['owner', 'until_ms', 'commits'],
  log: ['position'],
}
/** In the target only. */
const onlyThere: Readonly<Record<string, readonly string[]>> = {
  partition: ['seen'],
  generation: ['dropped'],
  lease: ['owner'],
  log: ['message', 'xid', 'receipt'],
}

test('every table and every column of a SQLite file is moved, but those that are known not to be', () => {
  const database = new DatabaseSync(':memory:')
  for (const migration of migrations) database.exec(migration.replaceAll('{p}', ''))
  const tables = database.prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'").all()
  const names = tables.map(({ name }) => String(name))
  const there = names.filter((name) => !leftBehind.includes(name)).map((name) => renamed[name] ?? name)
  expect(there.toSorted()).toEqual(movedTables.map(({ name }) => name).toSorted())
  for (const name of names.filter((each) => !leftBehind.includes(each))) {
    const target = renamed[name] ?? name
    const columns = database
      .prepare('select name from pragma_table_info(?)')
      .all(name)
      .map((row) => String(row.name))
    const moved = movedTables.find((table) => table.name === target)?.columns.map(([column]) => column) ?? []
    const expected = columns
      .filter((column) => !(notMoved[target] ?? []).includes(column))
      .map((column) => (column === 'window' ? 'dedup' : column))
    // Those that lie elsewhere in a file, or are called otherwise.
    const extra: Record<string, string[]> = {
      log: ['partition', 'offset'],
      dedup_window: ['current'],
      identity: ['dedup', 'time_ms'],
    }
    expect([target, [...expected, ...(extra[target] ?? [])].toSorted()]).toEqual([target, [...moved].toSorted()])
  }
  database.close()
})

test('pages of every table follow an index: nothing is sorted, and no page begins with a look at all rows before it', () => {
  const database = new DatabaseSync(':memory:')
  for (const migration of migrations) database.exec(migration.replaceAll('{p}', ''))
  for (const table of movedTables) {
    const { sql, keys } = pageQuery(table, { first: false })
    const plan = database.prepare(`explain query plan ${sql.replaceAll('{p}', '')}`).all(...Array(keys).fill(0), 1)
    expect([table.name, plan.map(({ detail }) => detail).join('; ')]).toEqual([
      table.name,
      expect.not.stringMatching(/SCAN|TEMP/),
    ])
  }
  database.close()
})

// The first test of a run starts the server.
test('every column of the tables in PostgreSQL gets a value from the move, but those that are known not to', {
  timeout: 60_000,
}, async () => {
  const { pool } = await temporaryPostgres()
  await pool.query(`create schema onefold; ${postgresMigrations.map((sql) => sql.replaceAll('{s}', 'onefold')).join('\n')}`)
  const { rows } = await pool.query(
    `select table_name as name, array_agg(column_name::text order by column_name) as columns from information_schema.columns
     join information_schema.tables using (table_schema, table_name) where table_schema = 'onefold' and table_type = 'BASE TABLE' group by 1`,
  )
  // The name of the server's life is this server's own.
  expect(rows.map(({ name }) => name).toSorted()).toEqual([...ownTables, 'server_life'].toSorted())
  for (const { name, columns } of rows) {
    // Offsets of messages are in log_position.
    const moved = movedTables
      .find((table) => table.name === name)
      ?.columns.map(([column]) => column)
      .filter((column) => name !== 'log' || column !== 'offset')
    if (moved === undefined)
      expect(['duplicate', 'log_position', 'outbox_series', 'owner', 'member', 'server_life']).toContain(name)
    else expect([name, [...moved, ...(onlyThere[name] ?? [])].toSorted()]).toEqual([name, columns.toSorted()])
  }
})
