/** The corpus's cases of services and of bare data; `corpus-services.test.ts` compares each with its structure. */
export const serviceCases: readonly string[] = [
  'jdlms-hdlc-aare-sn',
  'jdlms-hdlc-clock-object-session',
  'jdlms-kaifa-action-request',
  'jdlms-kaifa-action-response',
  'pwitab-get-response-datablock-first',
  'pwitab-get-response-datablock-last',
  'pwitab-get-response-u32',
  'pwitab-get-response-error',
  'pwitab-action-response-hls',
  'pwitab-action-response-error',
  'pwitab-action-response-ok',
  'pwitab-set-request-clock',
  'pwitab-set-response-ok',
  'pwitab-hdlc-aarq',
  'pwitab-hdlc-aare',
  'wireshark-capture-objects-datablocks',
  'wireshark-event-notification',
  'wireshark-set-request-clock',
  'wireshark-action-request-script',
  'wireshark-action-response',
  'wireshark-aare-4-32',
]

/** A `Data` without an APDU. */
export const dataCases: readonly string[] = ['jdlms-kamstrup-object-list', 'pwitab-profile-null-data']
