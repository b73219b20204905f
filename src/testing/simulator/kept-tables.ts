import type { SqliteConnection } from '../../database/sqlite/connection.ts'

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

interface Kept {
  readonly name: string
  readonly empty: string
  readonly insert: string
  readonly rows: readonly never[][]
}

/**
 * Keeps what the tables hold now, and answers with what puts it back, into those of the tables for which `changed` says so.
 * Statements that are prepared stay prepared: `pragma foreign_keys` would have every one of them compiled again at its next use.
 */
export function keepTables(
  connection: SqliteConnection,
  tables: readonly string[],
): (changed: (name: string) => boolean) => void {
  const { order, cyclic } = childrenFirst(connection, tables)
  const kept = order.map((name): Kept => {
    const rows = connection.prepareArrays(`select * from ${quoted(name)}`).all<never[]>()
    const values = rows[0]?.map(() => '?').join(', ')
    return { name, empty: `delete from ${quoted(name)}`, insert: `insert into ${quoted(name)} values (${values})`, rows }
  })
  const triggers = connection
    .prepare("select name, sql from sqlite_schema where type = 'trigger'")
    .all<{ name: string; sql: string }>()
  const sequences = connection.prepare("select 1 from sqlite_schema where name = 'sqlite_sequence'").get() !== undefined
  const counted = sequences ? connection.prepareArrays('select name, seq from sqlite_sequence').all<never[]>() : []
  const putBack = (changed: readonly Kept[]): void => {
    // They would write once more what is in the tables already.
    for (const { name } of triggers) connection.exec(`drop trigger ${quoted(name)}`)
    for (const { empty } of changed) connection.prepare(empty).run()
    for (const { insert, rows } of changed.toReversed()) for (const row of rows) connection.prepare(insert).run(...row)
    for (const { sql } of triggers) connection.exec(sql)
    if (sequences) connection.prepare('delete from sqlite_sequence').run()
    for (const row of counted) connection.prepare('insert into sqlite_sequence values (?, ?)').run(...row)
  }
  const refuses = cyclic || !isPossible(connection, () => putBack(kept))
  return (changed) => {
    if (refuses) connection.exec('pragma foreign_keys = off')
    connection.prepare('begin').run()
    putBack(kept.filter(({ name }) => changed(name)))
    connection.prepare('commit').run()
    if (refuses) connection.exec('pragma foreign_keys = on')
  }
}

/** A table before those it refers to. Where they refer to each other, or one to itself, no order is right. */
function childrenFirst(connection: SqliteConnection, tables: readonly string[]): { order: readonly string[]; cyclic: boolean } {
  const parents = new Map(
    tables.map((name) => [
      name,
      connection
        .prepare('select "table" as parent from pragma_foreign_key_list(?)')
        .all<{ parent: string }>(name)
        .map(({ parent }) => tables.find((one) => one.toLowerCase() === parent.toLowerCase())),
    ]),
  )
  const order: string[] = []
  const begun = new Set<string>()
  let cyclic = false
  const visit = (name: string): void => {
    begun.add(name)
    for (const parent of parents.get(name) ?? []) {
      if (parent === undefined) continue
      if (!begun.has(parent)) visit(parent)
      else if (!order.includes(parent)) cyclic = true
    }
    order.push(name)
  }
  for (const name of tables) if (!begun.has(name)) visit(name)
  return { order: order.toReversed(), cyclic }
}

function isPossible(connection: SqliteConnection, work: () => void): boolean {
  connection.prepare('begin').run()
  try {
    work()
    return true
  } catch {
    return false
  } finally {
    connection.prepare('rollback').run()
  }
}
