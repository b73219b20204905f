import type { MovedTable } from '../../move/move-store.ts'
import { movedSettings } from '../../move/move-store.ts'
import { offsetSpan } from './schema.ts'

/** How the rows of a moved table are found here. Columns not named in `columns` are called the same. */
interface SourceTable {
  readonly from: string
  /** Unique, in the order of an index: a page begins after them. */
  readonly keys: readonly string[]
  /** A key that may pass 2^53: read and given as text. */
  readonly bigKey?: string
  readonly where?: string
  readonly columns?: Readonly<Record<string, string>>
}

/**
 * The time an identity was stated with is not kept here, only the newest of its generation. It is given to all of them: when
 * the generation is forgotten, that is what counts.
 */
const generationTime = 'coalesce(g.newest_ms, max(g.opened_ms, g.sealed_ms), g.opened_ms)'
/** Generations that are dropped are forgotten; their rows only wait to be removed. */
const kept = 'g.dropped = 0'

const sources: Readonly<Record<string, SourceTable>> = {
  meta: {
    from: '{p}meta',
    keys: ['name'],
    where: `name in (${movedSettings.map((name) => `'${name}'`).join(', ')})`,
    columns: { value: 'cast(value as text)' },
  },
  topic: { from: '{p}topic', keys: ['topic'] },
  partition: { from: '{p}partition', keys: ['partition'] },
  log: {
    from: '{p}log',
    keys: ['position'],
    columns: { partition: 'position >> 40', offset: `position & ${offsetSpan - 1}` },
  },
  dedup_window: {
    from: '{p}window w',
    keys: ['window'],
    columns: {
      dedup: 'window',
      current: `(select min(g.generation) from {p}generation g where g.window = w.window and g.sealed_ms is null and ${kept})`,
    },
  },
  generation: { from: '{p}generation g', keys: ['generation'], where: kept, columns: { dedup: 'window' } },
  identity: {
    // Joined in this order, so that pages follow the primary key.
    from: '{p}identity i cross join {p}generation g on g.generation = i.generation cross join {p}source s on s.source = i.source',
    keys: ['i.generation', 'i.source', 'i.key'],
    where: kept,
    columns: {
      dedup: 'g.window',
      source: 's.name',
      key: 'i.key',
      body: 'i.body',
      generation: 'i.generation',
      time_ms: generationTime,
    },
  },
  sequence: {
    from: '{p}sequence n cross join {p}source s on s.source = n.source',
    keys: ['n.window', 'n.source'],
    columns: { dedup: 'n.window', source: 's.name', ranges: 'n.ranges' },
  },
  sequence_body: {
    from: '{p}sequence_body n cross join {p}source s on s.source = n.source',
    keys: ['n.window', 'n.source', 'n.sequence'],
    bigKey: 'n.sequence',
    columns: { dedup: 'n.window', source: 's.name', sequence: 'n.sequence', body: 'n.body' },
  },
  subscription: { from: '{p}subscription', keys: ['subscription'] },
  checkpoint: { from: '{p}checkpoint', keys: ['subscription', 'partition'] },
  lease: { from: '{p}lease', keys: ['name'] },
  parked: { from: '{p}parked', keys: ['parked'] },
  attempt: { from: '{p}attempt', keys: ['parked', 'turn'] },
  start_mark: { from: '{p}start_mark', keys: ['subscription', 'partition', 'identity'] },
  attention: { from: '{p}attention', keys: ['attention'] },
  audit: { from: '{p}audit', keys: ['audit'] },
  revision: { from: '{p}revision', keys: ['revision'] },
  call: { from: '{p}call', keys: ['subscription', 'identity', 'name', 'round'] },
  outbox: { from: '{p}outbox', keys: ['outbox'] },
  schedule: { from: '{p}schedule', keys: ['schedule'] },
  cron: { from: '{p}cron', keys: ['topic', 'name'] },
  erasure: { from: '{p}erasure', keys: ['erasure'] },
}

/**
 * Tables that hold nothing to be moved: names are written out in the target, processes stay where they are, and nobody goes on with the
 * numbers of this file's outbox.
 */
export const leftBehind: readonly string[] = ['source', 'owner', 'member', 'outbox_series']
/** What is called otherwise in the target. */
export const renamed: Readonly<Record<string, string>> = { window: 'dedup_window' }

/** A page of a table: its columns as text, and then its keys as they are. */
export function pageQuery(
  table: MovedTable,
  options: { readonly first: boolean },
): { readonly sql: string; readonly keys: number } {
  const source = sources[table.name]
  if (source === undefined) throw new Error(`nothing is known of table ${table.name}`)
  const columns = table.columns.map(([name, type]) => {
    const value = source.columns?.[name] ?? `"${name}"`
    if (type === 'integer') return `cast(${value} as text)`
    if (type === 'boolean') return `iif(${value}, 'true', iif(${value} is null, null, 'false'))`
    return type === 'bytes' ? `lower(hex(${value}))` : value
  })
  const keys = source.keys.join(', ')
  const conditions = [
    ...(source.where === undefined ? [] : [source.where]),
    ...(options.first
      ? []
      : [`(${keys}) > (${source.keys.map((key) => (key === source.bigKey ? 'cast(? as integer)' : '?')).join(', ')})`]),
  ]
  const read = source.keys.map((key) => (key === source.bigKey ? `cast(${key} as text)` : key))
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')} `
  return {
    sql: `select ${columns.join(', ')}, ${read.join(', ')} from ${source.from} ${where}order by ${keys} limit ?`,
    keys: source.keys.length,
  }
}
