import type { Pool } from 'pg'

export const measuredTables = ['log', 'log_position', 'identity'] as const

export interface TableSize {
  readonly table: string
  readonly rows: number
  /** With indexes and everything else; in bytes. */
  readonly total: number
  readonly indexes: number
}

/** Rows are counted, not estimated. */
export async function tableSizes(pool: Pool): Promise<TableSize[]> {
  const sizes: TableSize[] = []
  for (const table of measuredTables) {
    const { rows } = await pool.query<{ n: string; total: string; indexes: string }>(
      `select (select count(*) from onefold.${table}) as n, pg_total_relation_size($1::regclass) as total, pg_indexes_size($1::regclass) as indexes`,
      [`onefold.${table}`],
    )
    const [row] = rows
    sizes.push({ table, rows: Number(row?.n), total: Number(row?.total), indexes: Number(row?.indexes) })
  }
  return sizes
}

export const megabytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1)

/** A row of Markdown: rows, size and the indexes' part of it, of each table. */
export function sizesRow(when: string, sizes: readonly TableSize[]): string {
  return `| ${when} | ${sizes.map(({ rows, total, indexes }) => `${rows} | ${megabytes(total)} | ${megabytes(indexes)}`).join(' | ')} |`
}

export const sizesHead = [
  `| MB | ${measuredTables.map((table) => `${table}: rows | total | of it indexes`).join(' | ')} |`,
  `|---|${'---:|'.repeat(3 * measuredTables.length)}`,
].join('\n')
