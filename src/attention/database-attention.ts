import type { Database } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import { identityOf } from '../message.ts'
import { parseJson } from '../parse-json.ts'
import type { Runtime } from '../runtime.ts'
import type { AnyTopic } from '../topic.ts'
import type { Act } from './act.ts'
import { actOn } from './act.ts'
import type { Attention, AttentionDetails, Settlement } from './attention.ts'
import type { AttentionFilter, AttentionGroup, AttentionItem } from './attention-store.ts'
import type { BulkFilter, BulkPreview, BulkResult } from './bulk.ts'
import { actOnAll, previewBulk } from './bulk.ts'
import {
  checkedBy,
  checkedData,
  checkedExpect,
  checkedFilter,
  checkedReason,
  checkedSettlement,
  optional,
} from './check-options.ts'
import { jsonDifference } from './json-difference.ts'
import { possibleActions } from './possible-actions.ts'
import { situationOf } from './situation.ts'

export interface AttentionContext {
  readonly database: Database<unknown>
  readonly runtime: Pick<Runtime, 'isAlive' | 'wallMs'>
  /** Resolves when the database can be used. */
  readonly opened: () => Promise<void>
  /** Where the app knows the topic, edited data is checked by it. */
  readonly topicNamed: (name: string) => AnyTopic | undefined
}

/** `app.attention`. */
export class DatabaseAttention implements Attention {
  readonly #context: AttentionContext

  constructor(context: AttentionContext) {
    this.#context = context
  }

  async list(filter: AttentionFilter = {}): Promise<readonly AttentionItem[]> {
    const checked = checkedFilter(filter)
    await this.#context.opened()
    return await this.#context.database.read((stores) => stores.attention.list(checked))
  }

  async groups(filter: AttentionFilter = {}): Promise<readonly AttentionGroup[]> {
    const checked = checkedFilter(filter)
    await this.#context.opened()
    return await this.#context.database.read((stores) => stores.attention.groups(checked))
  }

  async show(id: string): Promise<AttentionDetails> {
    const { database, runtime, opened } = this.#context
    await opened()
    return await database.read(async (stores) => {
      const situation = await situationOf(stores, id, runtime)
      if (situation === undefined) throw notFound(id)
      const { item } = situation
      const history = await stores.calls.history(item, identityOf(item.envelope))
      const revisions = await stores.attention.revisions(id)
      return {
        ...item,
        failedAttempts: await stores.attention.failedAttempts(id),
        calls: history.map((record) => ({ ...record, owner: runtime.isAlive(record.process) })),
        revisions: revisions.map((revision) => ({
          ...revision,
          changes: jsonDifference(readJson(revision.before), readJson(revision.after)),
        })),
        audit: await stores.attention.audit(id),
        actions: possibleActions(situation),
      }
    })
  }

  async redrive(id: string, options: Parameters<Attention['redrive']>[1] = {}): Promise<boolean> {
    return await this.#act(id, redriveOf(options))
  }

  async edit(id: string, data: unknown, options: Parameters<Attention['edit']>[2]): Promise<boolean> {
    const by = checkedBy(options?.by)
    const reason = optional(checkedReason, options.reason)
    const { database, opened, topicNamed } = this.#context
    await opened()
    const item = await database.read((stores) => stores.attention.get(id))
    if (item === undefined) throw notFound(id)
    const json = await checkedData(item.topic, topicNamed(item.topic), data, item.envelope.id)
    return await this.#act(id, { action: 'edit', by, reason, json })
  }

  async discard(id: string, options: Parameters<Attention['discard']>[1]): Promise<boolean> {
    return await this.#act(id, discardOf(options))
  }

  async settle(id: string, settlement: Settlement, options: Parameters<Attention['settle']>[2]): Promise<boolean> {
    const { result } = checkedSettlement(settlement)
    const { call, as } = settlement
    const by = checkedBy(options?.by)
    const reason = optional(checkedReason, options.reason)
    return await this.#act(id, { action: 'settle', by, reason, call, as, result, ownerIsGone: options.ownerIsGone === true })
  }

  async preview(
    filter: BulkFilter,
    action: 'redrive' | 'discard',
    options: { readonly callsStand?: boolean } = {},
  ): Promise<BulkPreview> {
    const { database, runtime, opened } = this.#context
    const checked = checkedFilter(filter)
    await opened()
    const act: Act =
      action === 'redrive'
        ? { action, by: undefined, reason: undefined }
        : { action, by: 'preview', reason: 'preview', callsStand: options.callsStand === true }
    return await previewBulk(database, runtime, checked, act)
  }

  async redriveAll(filter: BulkFilter, options: Parameters<Attention['redriveAll']>[1] = {}): Promise<BulkResult> {
    return await this.#actOnAll(filter, redriveOf(options), options.expect)
  }

  async discardAll(filter: BulkFilter, options: Parameters<Attention['discardAll']>[1]): Promise<BulkResult> {
    return await this.#actOnAll(filter, discardOf(options), options.expect)
  }

  async #act(id: string, act: Act): Promise<boolean> {
    const { database, runtime } = this.#context
    await this.#openedOutside()
    const result = await database.write(
      async (session) => {
        await session.attention.lock([id])
        return await actOn(session, id, act, runtime)
      },
      { what: `${act.action} ${id}` },
    )
    if (result === 'done') return true
    if (result === 'already') return false
    if (result === 'not-found') throw notFound(id)
    throw new OnefoldError('NOT_POSSIBLE', `${act.action} ${id}: ${result.sentence}`, { details: { id, why: result.why } })
  }

  async #actOnAll(filter: BulkFilter, act: Act, expect: number | undefined): Promise<BulkResult> {
    const { database, runtime } = this.#context
    const checked = checkedFilter(filter)
    const bound = checkedExpect(expect)
    await this.#openedOutside()
    return await actOnAll(database, runtime, checked, act, bound)
  }

  async #openedOutside(): Promise<void> {
    const { database, opened } = this.#context
    if (database.insideTransaction())
      throw new OnefoldError(
        'NOT_POSSIBLE',
        'acting on attention inside apply would wait for that very transaction; act outside of it.',
      )
    await opened()
  }
}

function redriveOf({ by, reason }: { readonly by?: string; readonly reason?: string }): Act {
  return { action: 'redrive', by: optional(checkedBy, by), reason: optional(checkedReason, reason) }
}

function discardOf(options: Parameters<Attention['discard']>[1]): Act {
  return {
    action: 'discard',
    by: checkedBy(options?.by),
    reason: checkedReason(options?.reason),
    callsStand: options.callsStand === true,
  }
}

function notFound(id: string): OnefoldError {
  return new OnefoldError('NOT_FOUND', `there is no attention item ${id}.`, { details: { id } })
}

/** Stored text that does not parse is compared as it is. */
function readJson(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return text
  }
}
