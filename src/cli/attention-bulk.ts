import type { App } from '../app.ts'
import type { BulkFilter, BulkPreview, BulkRefusal, BulkResult } from '../attention/bulk.ts'
import { ask, canAsk } from './ask.ts'
import type { Said } from './attention-act.ts'
import { redriver } from './attention-act.ts'
import { count, plural, printable, shorten, wrap } from './readable.ts'
import { kindOf } from './render-attention.ts'
import type { Terminal } from './terminal.ts'

interface BulkRequest {
  readonly action: 'redrive' | 'discard'
  readonly filter: BulkFilter
  readonly said: Said
  /** Nobody is asked. */
  readonly yes: boolean
  /** The count somebody has seen. */
  readonly expect: number | undefined
  readonly json: boolean
}

/** Shows what would be done, has it confirmed, does it. Answers the exit code. */
export async function actOnMatching(app: App<unknown>, terminal: Terminal, request: BulkRequest): Promise<number> {
  const { action, filter, said, yes, expect, json } = request
  const preview = await app.attention.preview(filter, action, { callsStand: said.callsStand })
  const confirmed = yes || expect !== undefined || preview.count === 0
  if (!json) await terminal.write(renderPreview(preview, action))
  const asked = !confirmed && !json && canAsk()
  if (!confirmed && !(asked && (await ask(`${action} ${plural(preview.count, 'message')}?`)))) {
    const how = `nothing was done; add --expect ${preview.count} to ${action} these (refused when there are more), or --yes`
    if (json) await terminal.json({ action, preview, done: false, next: how })
    else terminal.note(`onefold: ${asked ? 'nothing was done' : how}`)
    return 1
  }
  const bound = asked ? preview.count : expect
  const result = await carryOut(app, action, filter, said, bound)
  if (json) await terminal.json({ action, preview, result })
  else if (preview.count > 0) await terminal.write(renderResult(result))
  return result.refused > 0 ? 1 : 0
}

function carryOut(
  app: App<unknown>,
  action: 'redrive' | 'discard',
  filter: BulkFilter,
  said: Said,
  bound: number | undefined,
): Promise<BulkResult> {
  const expect = bound === undefined ? {} : { expect: bound }
  if (action === 'redrive') return app.attention.redriveAll(filter, { ...redriver(said), ...expect })
  const { by = '', reason = '', callsStand } = said
  return app.attention.discardAll(filter, { by, reason, callsStand, ...expect })
}

function renderPreview(preview: BulkPreview, action: string): string {
  if (preview.count === 0) return 'nothing that is open matches\n'
  const refused = preview.refused > 0 ? `, ${count(preview.refused)} of them would be refused` : ''
  const groups = preview.groups.map(({ topic, group, fingerprint, kind, errorName, errorMessage, refusals, count: alike }) => {
    const error = shorten(printable(`${errorName}: ${errorMessage}`), 100)
    return `  ${kindOf(kind, alike)} of ${topic} in group ${group} (fingerprint ${fingerprint}): ${error}\n${renderRefusals(refusals)}`
  })
  return `${action}: ${plural(preview.count, 'message')}${refused}\n${groups.join('')}`
}

function renderResult({ done, already, refused, refusals }: BulkResult): string {
  return `${count(done)} done, ${count(already)} already acted on by somebody else, ${count(refused)} refused\n${renderRefusals(refusals)}`
}

function renderRefusals(refusals: readonly BulkRefusal[]): string {
  return refusals
    .map(({ count: times, id, sentence }) => `${wrap(printable(`${count(times)} refused, such as ${id}: ${sentence}`), 4)}\n`)
    .join('')
}
