import type { History, RequestOperation } from '../history.ts'
import type { CallSeen } from './call-rounds.ts'
import { callsOf } from './call-rounds.ts'
import type { At, Group, Handled, Reading } from './reading.ts'
import { aboutGroup, entry, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * A token stands for one call of one message. A new one is used only when the one before is known not to have happened, for the
 * outside world cannot tell the two requests for one. Where the rule is 'ask-person', nothing is asked for a second time
 * while the first may have happened.
 */
export function callToken(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  const owners = new Map<string, Map<string, { readonly index: number; readonly of: Handled; readonly call: string }>>()
  for (const group of reading.groups('call-token')) {
    for (const handled of group.handled.values()) {
      for (const [call, seen] of callsOf(handled)) {
        found.push(...newToken(handled, group, call, seen))
        if (reading.options.promises?.calls?.[call]?.rule === 'ask-person') found.push(...askedAgain(handled, group, call, seen))
        for (const { index, operation } of seen.requests) {
          // Tokens of two calls may look alike: they go to different places.
          const owner = entry(
            entry(owners, call, () => new Map()),
            operation.token,
            () => ({ index, of: handled, call }),
          )
          if (owner.of === handled) continue
          const what = `Call ${call} was asked for with one token for ${named(owner.of.message)} and for ${named(handled.message)}.`
          found.push(violation('call-token', what, [owner.index, index], aboutGroup(handled.message, group)))
        }
      }
    }
  }
  return found
}

function* newToken(handled: Handled, group: Group, call: string, seen: CallSeen): Iterable<Violation> {
  const tokens = new Set<string>()
  let last: At<RequestOperation> | undefined
  for (const at of seen.requests) {
    const { token } = at.operation
    if (last !== undefined && !tokens.has(token) && !isRefused(seen, last.operation.token, at.index)) {
      const what = `Call ${call} for ${named(handled.message)} was asked for under a new token although the request under the old one may have happened.`
      yield violation('call-token', what, [last.index, at.index], aboutGroup(handled.message, group))
    }
    tokens.add(token)
    last = at
  }
}

function* askedAgain(handled: Handled, group: Group, call: string, seen: CallSeen): Iterable<Violation> {
  for (const [position, at] of seen.requests.entries()) {
    const before = seen.requests[position - 1]
    if (before === undefined || isRefused(seen, before.operation.token, at.index)) continue
    // A new token was accused of it already.
    if (
      before.operation.token !== at.operation.token &&
      !seen.requests.slice(0, position).some((each) => each.operation.token === at.operation.token)
    )
      continue
    const what = `Call ${call} for ${named(handled.message)} was asked for again although the request before may have happened, and its rule leaves that to a person.`
    yield violation('call-token', what, [before.index, at.index], aboutGroup(handled.message, group))
  }
}

/** Known, before `until`, not to have happened under this token. */
function isRefused({ requests, settled }: CallSeen, token: string, until: number): boolean {
  return (
    requests.some(
      ({ index, operation }) => index < until && operation.token === token && operation.outcome === 'did-not-happen',
    ) || settled.some(({ index, operation }) => index < until && operation.token === token && operation.as !== 'happened')
  )
}
