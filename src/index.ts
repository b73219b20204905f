export type { App, OnefoldOptions } from './app.ts'
export type { Refused } from './attention/act.ts'
export type { Attention, AttentionDetails, Settlement } from './attention/attention.ts'
export type {
  AttemptRecord,
  AttentionFilter,
  AttentionGroup,
  AttentionItem,
  AttentionKind,
  AttentionRevision,
  AttentionState,
  AuditEntry,
} from './attention/attention-store.ts'
export type { BulkFilter, BulkPreview, BulkRefusal, BulkResult } from './attention/bulk.ts'
export type { CallConsequence, CallFate } from './attention/call-fate.ts'
export type { JsonChange } from './attention/json-difference.ts'
export type {
  ActionRefusal,
  Confirmation,
  PossibleAction,
  PossibleActions,
  PossibleSettlement,
} from './attention/possible-actions.ts'
export type { SettleAs } from './attention/situation.ts'
export type { Assignment, Broker, SubscribeOptions } from './broker/broker.ts'
export {
  type AnyCall,
  type Call,
  type CallContext,
  type CallOptions,
  type CallOutcome,
  type CallResults,
  type CallRule,
  call,
  type Json,
  type Probe,
  type ProbeContext,
} from './call.ts'
export type { CallErrorRecord, CallRecord, CallState } from './calls/call-store.ts'
export type {
  ApplyContext,
  BatchItem,
  Calls,
  ConsumeApply,
  ConsumeApplyBatch,
  ConsumeOptions,
  ConsumeReceive,
  PublishInside,
  PublishInsideOptions,
  ReceiveContext,
  Semantics,
} from './consume/consume-options.ts'
export type { Database, RemovedGroup } from './database/database.ts'
export type { Erased } from './erase/erase-store.ts'
export type { EraseOptions, EraseResult } from './erase/eraser.ts'
export {
  CallFailed,
  CallUnknown,
  type ErrorCode,
  isOnefoldError,
  OnefoldError,
  type Outcome,
  type Retry,
  RetryLater,
  TerminalError,
} from './errors.ts'
export type { AppEvent } from './event.ts'
export type {
  BrokerCard,
  BrokerClaims,
  CallCard,
  CallClaims,
  Card,
  DatabaseCard,
  DatabaseClaims,
} from './guarantee/card.ts'
export { explainText } from './guarantee/explain.ts'
export type {
  AttemptsGuarantee,
  BrokerGuarantee,
  CallGuarantee,
  ConsumerGuarantee,
  DatabaseGuarantee,
  Guarantee,
  StartRefusal,
  TopicGuarantee,
  Weakening,
  WindowGuarantee,
} from './guarantee/guarantee.ts'
export type { DatabaseStatus, GroupStatus, OutboxStatus, OwnerStatus, ScheduleStatus, TopicStatus } from './inspect/status.ts'
export type { Delivery, Envelope, Message, Receipt } from './message.ts'
export { onefold } from './onefold.ts'
export { PublishIncompleteError } from './publish/publish-incomplete.ts'
export type { PublishManyItem, PublishOptions } from './publish/publish-options.ts'
export type { Runtime } from './runtime.ts'
export type { MissedPolicy } from './schedule/cron.ts'
export type { ScheduledFiring, ScheduleOptions } from './schedule/schedule-options.ts'
export { type AnyTopic, adoptTopic, type PlainTopicOptions, type Topic, type TopicOptions, topic } from './topic.ts'
