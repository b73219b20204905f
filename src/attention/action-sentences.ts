/** What `possible-actions.ts` decides, said to a reader who sees it for the first time. */
import type { CallRecord } from '../calls/call-store.ts'
import type { AttentionItem } from './attention-store.ts'
import type { CallConsequence } from './call-fate.ts'
import { isResultLost, isUnsettled } from './call-fate.ts'
import type { SettleAs, Situation } from './situation.ts'

export function closed(item: AttentionItem): string {
  return `Nothing: it was ${item.state} already.`
}

export function redrive(situation: Situation, consequences: readonly CallConsequence[]): string {
  const { item } = situation
  return join(
    `Runs group ${item.group} again on this message: a new first attempt with the same identity.`,
    ...fates(situation, consequences),
    behind(item, 'Then'),
  )
}

export function edit(situation: Situation, consequences: readonly CallConsequence[]): string {
  const { item } = situation
  return join(
    `Runs group ${item.group} again on this message with the new data: a new first attempt. Its id, key and headers stay, so a late duplicate of the original is still recognised. Other groups, and the log, keep the data that was published.`,
    ...fates(situation, consequences, ', with the data as it was,'),
    behind(item, 'Then'),
  )
}

export function dataUnchanged(): string {
  return 'The new data says the same as the old: redrive it instead.'
}

export function notParked(): string {
  return 'The message is no longer kept for another attempt.'
}

export function discard({ item }: Situation): string {
  return join(
    `Group ${item.group} never runs on this message again; the name and the reason are kept. Other groups are not concerned.`,
    behind(item),
  )
}

export function callsWouldStand(situation: Situation, standing: readonly CallRecord[]): string {
  const what = standing.map((record) => `call ${record.name} ${didIt(record)} ${ago(situation, record)}`).join(', ')
  return `${capital(what)}. Discarding undoes nothing of that, and nothing here will follow it up: say callsStand (--calls-stand) if that is right.`
}

export function lateMessage(): string {
  return 'It is older than what is remembered, so it may have been applied before; a new attempt cannot repair that. Find out whether it was, then settle it: as did-not-happen to apply it now, as happened to put it aside.'
}

export function settleFirst(situation: Situation, record: CallRecord): string {
  return `Call ${record.name} ${didIt(record)} ${ago(situation, record)}, and its rule leaves that to a person: ask the other side (token ${record.token}), then settle it.`
}

export function settleBeforeEdit(situation: Situation, record: CallRecord): string {
  if (isResultLost(record)) return resultLost(situation, record)
  return `Call ${record.name} ${didIt(record)} ${ago(situation, record)}, with the data as it is: settle it first, then edit.`
}

export function resultLost(situation: Situation, record: CallRecord): string {
  return `Call ${record.name} happened ${ago(situation, record)}, but its answer could not be remembered: settle it as happened, with its result.`
}

export function settleAsAWhole(): string {
  return 'A late message is settled as a whole, without naming a call: as happened (it was applied before) or did-not-happen (apply it now).'
}

export function settleLate({ item }: Situation, as: SettleAs): string {
  if (as === 'happened') return join('It counts as applied before, and is never applied again.', behind(item))
  return join(`Runs group ${item.group} on this message now.`, behind(item, 'Then'))
}

export function noSuchCall(call: string, calls: readonly CallRecord[]): string {
  const known = calls.map(({ name }) => name).join(', ') || 'no call'
  return `The journal of this message knows no call ${JSON.stringify(call)}; it knows ${known}.`
}

export function whichCall(unsettled: readonly CallRecord[]): string {
  return `The outcome of ${unsettled.length} calls is unknown (${unsettled.map(({ name }) => name).join(', ')}): name the one to settle.`
}

export function nothingToSettle(): string {
  return 'No call of this message has an unknown outcome: redrive, edit or discard it.'
}

export function settledAlready(record: CallRecord): string {
  const by = record.settledBy === undefined ? '' : ` by ${record.settledBy}`
  return `Nothing: call ${record.name} was settled as ${record.state}${by} already.`
}

export function settle(situation: Situation, record: CallRecord, as: SettleAs, rest: readonly CallRecord[]): string {
  const { name } = record
  const what = {
    happened: `Call ${name} is never made again, and apply gets the result you give: it cannot be added later.`,
    'did-not-happen': `Call ${name} is made again with the same token. Say so only when the first request cannot arrive any more, or the other side honours tokens.`,
    voided: `Call ${name} is made again with a new token. Say so only when the other side will never act on the old one.`,
  }[as]
  return join(what, afterSettling(situation, rest))
}

export function ownerAlive(situation: Situation, record: CallRecord): string {
  return `${holder(situation, record)} and is alive, so the request may still be under way: wait for its answer, or end that process first.`
}

export function ownerUnseen(situation: Situation, record: CallRecord): string {
  return `${holder(situation, record)}, and from here nobody can see whether that process is still there: make sure that it is not, then say ownerIsGone (--owner-is-gone).`
}

function holder(situation: Situation, record: CallRecord): string {
  const { pid, host } = record.process
  return `Process ${pid} on ${hostName(host)} began call ${record.name} ${ago(situation, record)}`
}

/** A host is machine, boot and namespace: people know the first. */
export function hostName(host: string): string {
  return host.split('/')[0] ?? host
}

function afterSettling({ item }: Situation, rest: readonly CallRecord[]): string {
  if (rest.length > 0)
    return `The message stays here: the outcome of ${rest.map(({ name }) => name).join(', ')} is unknown as well.`
  if (item.kind !== 'unknown-outcome') return 'The message stays here: then redrive, edit or discard it.'
  return join('The message goes on at once, with a new first attempt.', behind(item, 'Then'))
}

/** `how`: what has to be said of a call that happened with other data; empty when the data stays. */
function fates(situation: Situation, consequences: readonly CallConsequence[], how = ''): string[] {
  return consequences.flatMap(({ call, fate }) => {
    const record = situation.calls.find(({ name }) => name === call)
    return record === undefined ? [] : [fateSentence(situation, record, fate, how)]
  })
}

function fateSentence(situation: Situation, record: CallRecord, fate: CallConsequence['fate'], how: string): string {
  const past = `Call ${record.name} ${didIt(record)} ${ago(situation, record)}`
  switch (fate) {
    case 'stands':
      return `${past}${how} and is not made again: apply gets its remembered result.`
    case 'new-token':
      return `${past}; it is made again with a new token${record.state === 'failed' && how === '' ? ', unless the consumer hands failures to apply' : ''}.`
    case 'same-token':
      return `${past}; it is made again with the same token.`
    case 'asked-about':
      return `${past}; the other side is asked first.`
    case 'needs-person':
      return `${past}, which only a person can settle.`
  }
}

function didIt(record: CallRecord): string {
  switch (record.state) {
    case 'happened':
      return 'happened'
    case 'failed':
      return 'failed'
    case 'did-not-happen':
      return 'was settled as not having happened'
    case 'voided':
      return 'was settled as not having happened, its token voided,'
    case 'intent':
    case 'unknown':
      return isResultLost(record) ? 'happened' : 'may have happened'
  }
}

function ago({ nowMs }: Situation, record: CallRecord): string {
  const sinceMs = isUnsettled(record) ? record.intentMs : (record.settledMs ?? record.intentMs)
  return `${age(nowMs - sinceMs)} ago`
}

/** One unit is enough to recognise it by. */
function age(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const
  const found = units.find(([each]) => ms >= each)
  return found === undefined ? 'less than 1 s' : `${Math.floor(ms / found[0])} ${found[1]}`
}

function behind({ behind: count }: AttentionItem, first = ''): string {
  if (count === 0) return ''
  const waiting = count === 1 ? '1 message waiting behind it follows' : `${count} messages waiting behind it follow`
  return `${first === '' ? '' : `${first} `}${waiting}, in order.`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function join(...sentences: readonly string[]): string {
  return sentences.filter((sentence) => sentence !== '').join(' ')
}
