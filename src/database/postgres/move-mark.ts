import { OnefoldError } from '../../errors.ts'
import type { TargetMark } from '../../move/move-store.ts'
import { parseJson } from '../../parse-json.ts'
import type { Execute } from './client.ts'
import { textOf } from './sql.ts'

/** What `onefold move` has written here; undefined: nothing is being moved to these tables. */
export async function targetMark(execute: Execute, schema: string, lock = ''): Promise<TargetMark | undefined> {
  const [row] = await execute(`select value from ${schema}.meta where name = 'move' ${lock}`)
  return row === undefined ? undefined : (parseJson(textOf(row.value)) as TargetMark)
}

/** @throws OnefoldError `NOT_POSSIBLE` where a move has not been activated yet. */
export async function refuseUnactivated(execute: Execute, schema: string, where: string): Promise<void> {
  const mark = await targetMark(execute, schema)
  if (mark === undefined || mark.state === 'activated') return
  throw new OnefoldError(
    'NOT_POSSIBLE',
    `database ${where}: ${mark.from} is being moved here, and that has not been activated: nothing may work here before. Finish it with \`onefold move --from ${mark.from} --to … --activate\`, or give it up with --unseal.`,
    { retry: 'later', details: { database: where, from: mark.from } },
  )
}
