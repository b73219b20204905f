import type { App } from '../../app.ts'
import { isOnefoldError } from '../../errors.ts'
import type { Operation } from '../history.ts'
import type { OutsideWorld } from './outside-world.ts'

const by = 'somebody who has looked'
/** In the message of every error that the world makes up. */
export const simulated = '(simulated)'

export const endedProcess = /^the process ended \d+ times while message .* was running alone\.$/s

/** What a person does beside what the app offers. */
export interface Hands {
  tell(what: string): void
  endProcess(pid: number): void
  /** Is told that this message has ended its process. */
  accused(message: { readonly topic: string; readonly group: string; readonly id: string }): void
  /** Does this group let later messages of a key pass? */
  skips(topic: string, group: string): boolean
  overtaken(why: string): void
  /** What it should have said, if that is what is wrong with it. */
  edited(topic: string, group: string, id: string): unknown
}

/**
 * Settles unknown outcomes as a person does who has asked the other side: by its books, once nothing is on its way to it any
 * more. And has attempted again what the other side has refused too often, for it will not refuse for ever.
 */
export async function settleUnknown(app: App<unknown>, outside: OutsideWorld, history: Operation[], hands: Hands): Promise<void> {
  for (const item of await app.attention.list()) {
    const { topic, group } = item
    const of = { topic, group, identity: item.envelope.id }
    const crashed = item.errorMessage.match(endedProcess) !== null
    if (item.kind === 'dead-letter' && (crashed || item.errorMessage.includes(simulated))) {
      history.push({ op: 'attention', ...of, kind: item.kind })
      if (crashed) hands.accused({ topic, group, id: item.envelope.id })
      if (hands.skips(topic, group)) hands.overtaken('later messages of a key have passed one that waited for a person')
      const edited = crashed ? undefined : hands.edited(topic, group, item.envelope.id)
      const act = (): Promise<boolean> =>
        edited === undefined ? app.attention.redrive(item.id, { by }) : app.attention.edit(item.id, edited, { by })
      if (!(await untilAnswered(act))) continue
      const does = edited === undefined ? 'redrives' : 'edits'
      hands.tell(`${crashed ? 'has the handler mended, and ' : ''}${does} ${of.identity}`)
      history.push({ op: 'person', action: edited === undefined ? 'redrive' : 'edit', outcome: 'happened', by, ...of })
      continue
    }
    if (item.kind === 'late-message') {
      const applied = history.some(
        (one) => one.op === 'effect' && one.topic === topic && one.group === group && one.identity === of.identity,
      )
      history.push({ op: 'attention', ...of, kind: item.kind })
      const as = applied ? 'happened' : 'did-not-happen'
      if (!(await untilAnswered(() => app.attention.settle(item.id, { as }, { by })))) continue
      hands.tell(`settles ${of.identity}, which came late: it ${applied ? 'was applied before' : 'was not applied before'}`)
      history.push({ op: 'person', action: applied ? 'put-aside' : 'settle', outcome: 'happened', by, ...of })
      continue
    }
    if (item.kind !== 'unknown-outcome') continue
    history.push({ op: 'attention', ...of, kind: item.kind })
    const open = (await app.attention.show(item.id)).calls.filter(({ state }) => state === 'intent' || state === 'unknown')
    if (open.length === 0 && (await untilAnswered(() => app.attention.redrive(item.id, { by })))) {
      history.push({ op: 'person', action: 'redrive', outcome: 'happened', by, ...of })
      continue
    }
    for (const { name, token, owner, process } of open) {
      const charge = outside.charged(token)
      // Whoever began the request and lives may still be at it: 'did not happen' can only be said when it is gone.
      if (charge === undefined && owner === 'alive') hands.endProcess(process.pid)
      const settlement =
        charge === undefined
          ? ({ call: name, as: 'did-not-happen' } as const)
          : ({ call: name, as: 'happened', result: charge.result } as const)
      if (!(await untilAnswered(() => app.attention.settle(item.id, settlement, { by })))) continue
      if (charge === undefined) outside.denied(token)
      hands.tell(`settles ${name} for ${of.identity}: ${charge === undefined ? 'it did not happen' : 'it happened'}`)
      history.push({ op: 'settle', ...of, call: name, token, as: settlement.as, by })
    }
    history.push({ op: 'person', action: 'settle', outcome: 'happened', by, ...of })
  }
}

/** Clicks again when it hears an error that says so. Answers true also when an earlier click has done it. */
async function untilAnswered(act: () => Promise<boolean>): Promise<boolean> {
  for (let clicks = 1; ; clicks++) {
    try {
      return (await act()) || clicks > 1
    } catch (error) {
      if (!isOnefoldError(error) || error.retry === 'never') throw error
    }
  }
}
