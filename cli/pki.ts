import { profileSets } from '#pki/key-algorithm.ts'
import { issuingNames, profiles } from '#pki/profiles.ts'
import { revocationReasons } from '#pki/revoke.ts'
import { type Command, UsageError } from './command.ts'
import { backup, restore } from './pki/backup.ts'
import { init } from './pki/init.ts'
import { issue } from './pki/issue.ts'
import { lint } from './pki/lint.ts'
import { list, show } from './pki/list.ts'
import { manufacturers } from './pki/manufacturers.ts'
import { metrics } from './pki/metrics.ts'
import { crl, revoke } from './pki/revoke.ts'
import { rotate } from './pki/rotate.ts'
import { runSubcommand, type Subcommand } from './pki/subcommand.ts'
import { verify } from './pki/verify.ts'

const help = `usage: ami pki init    --dir DIR --passphrase-file FILE [--organisation NAME] [--profile-set NAME] [--keys FILE]
                       [--zone DOMAIN]... [--range ADDRESS/BITS]... [--crl-url URL] [--ocsp-url URL]
       ami pki issue   --dir DIR --passphrase-file FILE --profile NAME --id ID [--dns NAME]... [--ip ADDRESS]...
                       [--days N] [--issuer CA] (--out-key FILE | --csr FILE) [--out FILE]
       ami pki revoke  --dir DIR --passphrase-file FILE [--reason WORD] (SERIAL | --id ID [--profile NAME])
       ami pki crl     --dir DIR --passphrase-file FILE [--root]
       ami pki backup  --dir DIR --passphrase-file FILE [--backup-passphrase-file FILE] --out FILE
       ami pki restore --dir DIR --passphrase-file FILE [--backup-passphrase-file FILE] --from FILE [--seen NOTE]...
                       [--accept-older]
       ami pki rotate  --dir DIR --passphrase-file FILE --ca NAME
       ami pki list    --dir DIR [--expiring DAYS]
       ami pki metrics --dir DIR [--expiring DAYS] [--out FILE]
       ami pki show    --dir DIR SERIAL
       ami pki lint    --profile NAME [--issuer FILE] [--profile-set NAME] CERTIFICATE
       ami pki verify  --trust ROOT --crl FILE --purpose NAME [--profile-set NAME] [--at SECONDS] CHAIN
       ami pki manufacturers --dir DIR [--remove FINGERPRINT] [FILE]
       ami pki audit   verify, show, prove, checkpoint: see 'ami pki audit --help'
       ami pki ocsp    answers which certificates are revoked: see 'ami pki ocsp --help'
       ami pki feed    pushes revocations to the gateways: see 'ami pki feed --help'
       ami pki ceremony makes a PKI as two people approved it: see 'ami pki ceremony --help'
       ami pki inventory, est, enrol, renew: zero-touch enrolment of devices: each has its own --help

init     makes a root (10 years), the CAs ${issuingNames.join(', ')} (5 years) and their CRLs in DIR;
         DIR/root may then be taken offline; DIR/trust has what a listener for one class trusts
issue    a certificate for a ${Object.keys(profiles).join(', ')};
         the chain goes to --out or to standard output
revoke   journals it and writes DIR/crl/crl.pem anew; a CA's own serial needs the root's key; with --id all that a
         concentrator, or what --profile says, has, renewed or not
crl      writes fresh CRLs of the CAs, which live 7 days; with --root also the root's, which lives 365
backup   all of DIR but keys on tokens, in one encrypted file, while others issue and revoke
restore  DIR, which must be empty or not there, as it was; refuses a backup behind what DIR.seen or --seen know of
rotate   a new key and certificate for one CA, made by the root's key; the old stays trusted to its end, with a CRL of its own
list     everything issued, with what became of it; needs no key; with --expiring what is live, ends within as many days,
         and has no successor that lasts longer
metrics  the same counted by profile and state, ages of CRLs and of the audit log's checkpoint, as Prometheus text; --out
         replaces a file whole, for node_exporter's textfile collector; 30 days unless --expiring says otherwise
show     one certificate, as PEM with a line on what became of it
lint     the rules that a certificate breaks; its issuer is the second one in the file, or --issuer
verify   a chain, leaf first, judged as RFC 5280 asks, by its class and by the CRLs in --crl
manufacturers  takes the CAs in FILE, or removes one, and lists them: trusted for enrolment alone

  --passphrase-file FILE  its first line, 12 characters or more, opens the CA keys that lie in files
  --profile-set NAME      which keys it is made of: ${Object.keys(profileSets).join(', ')} (default p256)
  --keys FILE             JSON, for each CA whose key shall lie on a token:
                          {"device": {"kind": "pkcs11", "module": FILE, "token": LABEL, "pinFile": FILE}}
  --zone, --range         what a gateway may be called, with all below it; default: names and addresses kept private;
                          --range any: no constraint on addresses, which strongSwan's EST client cannot read
  --crl-url, --ocsp-url   written into certificates: the CRL shards of a CA stand below URL/CA/
  --issuer CA             where several may: ${profiles.ocsp.issuers.join(', ')} for ocsp; of a rotated CA
                          CA-NUMBER, such as device-1, for the key that a responder answers for
  --out-key FILE          the new private key, PKCS#8, readable by its owner only; must not exist yet
  --csr FILE              PKCS#10 request, PEM or DER; only its key is used
  --store DIR             the same as --dir DIR
  --backup-passphrase-file FILE  opens the backup (default: the store's)
  --seen NOTE             a checkpoint of the audit log that was kept elsewhere
  --accept-older          restores although more is known to have been done since
  --reason WORD           ${Object.keys(revocationReasons).join(', ')}
  --at SECONDS            judge as of then, since 1970 (default now)
  --json                  one JSON object on standard output

exit codes: 0 done, accepted; 1 refused, not accepted (with --json {"fault": {"code", "detail"}}); 64 usage;
            78 the PKI's directory, a file, the passphrase or a token is not in order
`

const subcommands: Readonly<Record<string, Subcommand>> = {
  init,
  issue,
  revoke,
  crl,
  backup,
  restore,
  rotate,
  list,
  metrics,
  show,
  lint,
  verify,
  manufacturers,
}

/** They have options and a help of their own. */
const commands: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  audit: () => import('./pki/audit.ts'),
  ocsp: () => import('./pki/ocsp.ts'),
  feed: () => import('./pki/feed.ts'),
  ceremony: () => import('./pki/ceremony.ts'),
  inventory: () => import('./pki/inventory.ts'),
  est: () => import('./pki/est.ts'),
  enrol: async () => ({ command: (await import('./pki/enrol.ts')).enrol }),
  renew: async () => ({ command: (await import('./pki/enrol.ts')).renew }),
}

export const command: Command = {
  summary: 'certificates and who gets them: init, ceremony, issue, revoke, rotate, backup, enrol, audit and more',
  help,
  helpFor,
  run,
}

async function own(name: string): Promise<Command | undefined> {
  return Object.hasOwn(commands, name) ? (await commands[name]!()).command : undefined
}

async function helpFor([name = '']: readonly string[]): Promise<string> {
  return (await own(name))?.help ?? help
}

async function run([name = '', ...args]: readonly string[]): Promise<number> {
  const command = await own(name)
  if (command !== undefined) return command.run(args)
  const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
  if (subcommand === undefined) {
    const known = [...Object.keys(subcommands), ...Object.keys(commands)]
    throw new UsageError(`pki: ${known.join(', ')}, not '${name}'`)
  }
  return runSubcommand(name, subcommand, args)
}
