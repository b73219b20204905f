import type { History } from '../history.ts'
import type { Handled, Reading } from './reading.ts'
import { aboutGroup, entry, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/** A token of a call stands for one message: the outside world answers a second one with what it did for the first. */
export function callTokenShared(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  /** By call: tokens of two calls may look alike, they go to different places. */
  const owners = new Map<string, Map<string, { readonly index: number; readonly of: Handled }>>()
  for (const group of reading.groups('call-token-shared')) {
    for (const handled of group.handled.values()) {
      for (const { index, operation } of handled.requests) {
        const { call, token } = operation
        const ofCall = entry(owners, call, () => new Map<string, { readonly index: number; readonly of: Handled }>())
        const owner = entry(ofCall, token, () => ({ index, of: handled }))
        if (owner.of === handled) continue
        const what = `Call ${call} was asked for with one token for ${named(owner.of.message)} and for ${named(handled.message)}.`
        found.push(violation('call-token-shared', what, [owner.index, index], aboutGroup(handled.message, group)))
      }
    }
  }
  return found
}
