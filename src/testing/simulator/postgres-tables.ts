import { parseJson } from '../../parse-json.ts'
import type { PgConnected } from './scratch-database.ts'

/** A table of the user's, and what of it can be compared between runs. */
export interface PostgresTable {
  /** As people name it: without the schema where that is public. */
  readonly name: string
  readonly quoted: string
  /** Quoted. */
  readonly stored: readonly string[]
  /** Quoted; without a key that the database counts by itself: that tells the order of things, not what they are. */
  readonly compared: readonly string[]
}

interface Column {
  readonly quoted: string
  readonly generated: boolean
  readonly counted: boolean
}

const tables = `
  select n.nspname as schema, c.relname as name, format('%I.%I', n.nspname, c.relname) as quoted, (
    select json_agg(json_build_object('quoted', quote_ident(a.attname), 'generated', a.attgenerated <> '',
        'counted', i.indnatts = 1 and i.indkey[0] = a.attnum and (a.attidentity <> '' or pg_get_expr(d.adbin, d.adrelid) like 'nextval(%'))
        order by a.attnum)
      from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)::text as columns
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relispartition and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')
  order by 1, 2`

export async function tablesIn(client: PgConnected): Promise<PostgresTable[]> {
  const { rows } = await client.query(tables)
  return rows.map((row) => {
    const columns = parseJson(String(row.columns ?? '[]')) as Column[]
    const quoted = (some: readonly Column[]): string[] => some.map((column) => column.quoted)
    return {
      name: row.schema === 'public' ? String(row.name) : `${String(row.schema)}.${String(row.name)}`,
      quoted: String(row.quoted),
      stored: quoted(columns.filter(({ generated }) => !generated)),
      compared: quoted(columns.filter(({ counted }) => counted !== true)),
    }
  })
}

/**
 * Keeps what the tables hold now, and where sequences are, and answers with the text of what puts it back. Rows are deleted one by
 * one: there are few, and a file for each table, which `truncate` makes, takes many times as long.
 */
export async function keepRows(client: PgConnected, all: readonly PostgresTable[], superuser: boolean): Promise<string> {
  await client.query('create schema onefold_kept')
  const kept: string[] = []
  for (const [index, { quoted, stored }] of all.entries()) {
    const { rows } = await client.query(`select exists (select from ${quoted}) as filled`)
    if (rows[0]?.filled !== true) continue
    const columns = stored.join(', ')
    await client.query(`create table onefold_kept.t${index} as select ${columns} from ${quoted}`)
    kept.push(`insert into ${quoted} (${columns}) overriding system value select ${columns} from onefold_kept.t${index}`)
  }
  const { rows: counters } = await client.query(
    `select format('select setval(%L, %s, %L)', format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value),
       last_value is not null) as text from pg_sequences where schemaname <> 'onefold_kept'`,
  )
  // In one statement, so that the order in which tables refer to each other is of no account.
  const atOnce = (texts: readonly string[]): string[] =>
    texts.length === 0 ? [] : [`with ${texts.map((text, index) => `s${index} as (${text})`).join(', ')} select`]
  return [
    'begin',
    // No trigger writes once more what is in the tables already.
    ...(superuser ? ['set local session_replication_role = replica'] : []),
    ...atOnce(all.map(({ quoted }) => `delete from ${quoted}`)),
    ...atOnce(kept),
    ...counters.map(({ text }) => String(text)),
    'commit',
  ].join('; ')
}
