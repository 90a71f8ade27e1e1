/** @see IEC 62056-5-3, Association-result */
export const associationResult = { accepted: 0, 'rejected-permanent': 1, 'rejected-transient': 2 } as const

/** @see IEC 62056-5-3, Associate-source-diagnostic, acse-service-user */
export const userDiagnostic = {
  null: 0,
  'no-reason-given': 1,
  'application-context-name-not-supported': 2,
  'calling-AP-title-not-recognized': 3,
  'calling-AP-invocation-identifier-not-recognized': 4,
  'calling-AE-qualifier-not-recognized': 5,
  'calling-AE-invocation-identifier-not-recognized': 6,
  'called-AP-title-not-recognized': 7,
  'called-AP-invocation-identifier-not-recognized': 8,
  'called-AE-qualifier-not-recognized': 9,
  'called-AE-invocation-identifier-not-recognized': 10,
  'authentication-mechanism-name-not-recognized': 11,
  'authentication-mechanism-name-required': 12,
  'authentication-failure': 13,
  'authentication-required': 14,
} as const

/** @see IEC 62056-5-3, Associate-source-diagnostic, acse-service-provider */
export const providerDiagnostic = { null: 0, 'no-reason-given': 1, 'no-common-acse-version': 2 } as const

/** @see IEC 62056-5-3, Release-request-reason and Release-response-reason; 1 is `not-finished` in an answer */
export const releaseReason = { normal: 0, urgent: 1, 'user-defined': 30 } as const
