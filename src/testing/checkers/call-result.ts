import type { History } from '../history.ts'
import type { Handled, Reading } from './reading.ts'
import { aboutGroup, entry, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/** What an effect was told its call had answered is in the outside world's ledger, for that message and that call. Judged for calls with a ledger. */
export function callResult(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const ledger = new Map<string, Map<string, { readonly index: number; readonly of: Handled }>>()
  const groups = [...reading.groups('call-result')]
  for (const group of groups) {
    for (const handled of group.handled.values()) {
      for (const { index, operation } of handled.charges) {
        entry(ledger, operation.call, () => new Map()).set(operation.id, { index, of: handled })
      }
    }
  }
  const found: Violation[] = []
  for (const group of groups) {
    for (const handled of group.handled.values()) {
      for (const { index, operation } of handled.happened) {
        for (const [call, id] of Object.entries(operation.calls ?? {})) {
          const charge = ledger.get(call)?.get(id)
          const known = ledger.has(call) || reading.options.promises?.calls?.[call]?.ledgerKnown === true
          if (charge?.of === handled || !known) continue
          const why = charge === undefined ? 'the outside world knows nothing of' : `belongs to ${charge.of.message.identity}`
          const what = `Group ${group.group} applied ${named(handled.message)} with an answer to call ${call} (${id}) that ${why}.`
          found.push(violation('call-result', what, [charge?.index ?? -1, index], aboutGroup(handled.message, group)))
        }
      }
    }
  }
  return found
}
