import { OnefoldError } from '../../errors.ts'
import type { SourceMark } from '../../move/move-store.ts'
import { parseJson } from '../../parse-json.ts'
import type { Statements } from './statements.ts'

/** Written by `onefold move`, in the commit that seals the file; undefined: it is in use. */
export function movedMark(statements: Statements): SourceMark | undefined {
  const row = statements.sql("select value from {p}meta where name = 'moved_to'").get<{ value: string }>()
  return row === undefined ? undefined : (parseJson(row.value) as SourceMark)
}

/** What every write is answered that comes after the seal. */
export function movedTo(file: string, to: string): OnefoldError {
  return new OnefoldError(
    'MOVED_TO',
    `database ${file} has been moved to ${to}: nothing is accepted here any more, and nothing was changed. Start this program with the new database.`,
    { details: { file, to } },
  )
}
