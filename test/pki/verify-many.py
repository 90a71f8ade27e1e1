"""Many chains judged by libcrypto in one process, as `openssl verify` judges one.

A line in: JSON of base64 (leaf, untrusted, roots, crls) with `at`, `policy` and `purpose`. A line out: `0 ok`, or the number
and words of the error; `-1 unreadable` for what libcrypto cannot read.
"""

import base64
import ctypes
import json
import sys

crypto = ctypes.CDLL("libcrypto.so.3")
STRICT, CRL_CHECK, CRL_CHECK_ALL, EXPLICIT_POLICY = 0x20, 0x4, 0x8, 0x100
handle, text, octets = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)


def function(name, result, *arguments):
    found = getattr(crypto, name)
    found.restype, found.argtypes = result, arguments
    return found


read_certificate = function("d2i_X509", handle, handle, octets, ctypes.c_long)
read_crl = function("d2i_X509_CRL", handle, handle, octets, ctypes.c_long)
free_certificate = function("X509_free", None, handle)
free_crl = function("X509_CRL_free", None, handle)
new_stack = function("OPENSSL_sk_new_null", handle)
push = function("OPENSSL_sk_push", ctypes.c_int, handle, handle)
free_stack = function("OPENSSL_sk_free", None, handle)
new_store = function("X509_STORE_new", handle)
trust = function("X509_STORE_add_cert", ctypes.c_int, handle, handle)
free_store = function("X509_STORE_free", None, handle)
parameters_of = function("X509_STORE_get0_param", handle, handle)
set_flags = function("X509_VERIFY_PARAM_set_flags", ctypes.c_int, handle, ctypes.c_ulong)
set_time = function("X509_VERIFY_PARAM_set_time", None, handle, ctypes.c_long)
set_purpose = function("X509_VERIFY_PARAM_set_purpose", ctypes.c_int, handle, ctypes.c_int)
add_policy = function("X509_VERIFY_PARAM_add0_policy", ctypes.c_int, handle, handle)
object_of = function("OBJ_txt2obj", handle, text, ctypes.c_int)
purpose_by_name = function("X509_PURPOSE_get_by_sname", ctypes.c_int, text)
purpose_at = function("X509_PURPOSE_get0", handle, ctypes.c_int)
purpose_id = function("X509_PURPOSE_get_id", ctypes.c_int, handle)
new_context = function("X509_STORE_CTX_new", handle)
begin = function("X509_STORE_CTX_init", ctypes.c_int, handle, handle, handle, handle)
give_crls = function("X509_STORE_CTX_set0_crls", None, handle, handle)
verify = function("X509_verify_cert", ctypes.c_int, handle)
error_of = function("X509_STORE_CTX_get_error", ctypes.c_int, handle)
words_of = function("X509_verify_cert_error_string", text, ctypes.c_long)
free_context = function("X509_STORE_CTX_free", None, handle)
forget_errors = function("ERR_clear_error", None)


def parsed(read, encoded):
    der = base64.b64decode(encoded)
    return read(None, ctypes.byref(ctypes.c_char_p(der)), len(der))


def stack_of(members):
    stack = new_stack()
    for member in members:
        push(stack, member)
    return stack


def store_of(roots, question):
    store = new_store()
    for root in roots:
        trust(store, root)
    parameters = parameters_of(store)
    set_flags(parameters, STRICT | CRL_CHECK | CRL_CHECK_ALL | EXPLICIT_POLICY)
    set_time(parameters, question["at"])
    set_purpose(parameters, purpose_id(purpose_at(purpose_by_name(question["purpose"].encode()))))
    add_policy(parameters, object_of(question["policy"].encode(), 1))
    return store


def judged(leaf, untrusted, roots, crls, question):
    store, stack, lists = store_of(roots, question), stack_of(untrusted), stack_of(crls)
    context = new_context()
    begin(context, store, leaf, stack)
    give_crls(context, lists)
    holds, error = verify(context), error_of(context)
    free_context(context)
    free_store(store)
    free_stack(stack)
    free_stack(lists)
    return "0 ok" if holds == 1 else f"{error} {words_of(error).decode()}"


def answer(question):
    leaf = parsed(read_certificate, question["leaf"])
    untrusted = [parsed(read_certificate, one) for one in question["untrusted"]]
    roots = [parsed(read_certificate, one) for one in question["roots"]]
    crls = [parsed(read_crl, one) for one in question["crls"]]
    readable = all([leaf, *untrusted, *roots, *crls])
    verdict = judged(leaf, untrusted, roots, crls, question) if readable else "-1 unreadable"
    for certificate in [leaf, *untrusted, *roots]:
        free_certificate(certificate)
    for crl in crls:
        free_crl(crl)
    forget_errors()
    return verdict


for line in sys.stdin:
    print(answer(json.loads(line)))
