import type { MovedRow, MovedTable, PageLimits } from './move-store.ts'

/** What is in memory at a time, and in one commit of the target. */
export const pageLimits: PageLimits = { rows: 1_000, bytes: 4 * 1024 * 1024 }

/** What people and errors said, as a target stores it: without U+0000 and halves of surrogate pairs. Messages have neither. */
export function stored(table: MovedTable, rows: readonly MovedRow[]): readonly MovedRow[] {
  const prose = table.columns.map(([, type]) => type === 'prose')
  if (!prose.includes(true)) return rows
  return rows.map((row) =>
    row.map((value, index) =>
      prose[index] === true && value !== null ? value.replaceAll('\u0000', '\uFFFD').toWellFormed() : value,
    ),
  )
}
