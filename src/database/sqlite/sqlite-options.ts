export interface SqliteOptions {
  /** Prefix of Onefold's tables; letters, digits, underscore. Default `onefold_`. */
  readonly prefix?: string
  /**
   * 'FULL' (default): a commit is on disk before it is answered. 'NORMAL' may lose acknowledged commits on power loss;
   * `start()` then refuses effectively-once consumers.
   */
  readonly synchronous?: 'FULL' | 'NORMAL'
  /** False: refuse a file that holds no Onefold tables yet, and change nothing about it. Default true. */
  readonly create?: boolean
  /** Page cache of the writing connection, in MiB: 1 to 4,096, default 64. */
  readonly cacheMiB?: number
}
