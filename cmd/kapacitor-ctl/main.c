/* kapacitor-ctl: forms, grows and shrinks a cluster. */
#include "base/mem.h"
#include "client/format.h"
#include "client/program.h"

#include <stdio.h>

static const char usage_text[] =
    "Usage: kapacitor-ctl [options] member list\n"
    "       kapacitor-ctl [options] member add RPC-ADDRESS\n"
    "       kapacitor-ctl [options] member remove MEMBER-ID\n"
    "       kapacitor-ctl help\n"
    "       kapacitor-ctl version\n"
    "\n"
    "Commands, carried out by the member that -url names:\n"
    "\n"
    "  member list      show the cluster and its members\n"
    "  member add       take a member into this cluster; RPC-ADDRESS is its host:port, usually port 9091\n"
    "  member remove    put a member out; it becomes a cluster of its own and keeps its definitions, "
    "disabled\n"
    "\n"
    "Options, before or behind the command:\n"
    "\n";

static const char *url;
static bool skip_verify;
static const struct kap_flag flags[] = {
    { KAP_FLAG_STRING, "url", &url,
      "http(s)://host:port of a member's API. Without it KAPACITOR_URL, then http://localhost:9092." },
    { KAP_FLAG_BOOL, "skipVerify", &skip_verify, "Accept any certificate. Without it KAPACITOR_UNSAFE_SSL." },
    { 0 },
};

static void print_usage(FILE *to)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_adds(&b, usage_text);
    kap_flags_print(flags, &b);
    fputs(b.p, to);
}

static enum kap_status list(struct kap_client *c, struct kap_error *err)
{
    json_t *cluster = NULL;
    KAP_TRY(kap_client_json(c, "GET", "/cluster", NULL, &cluster, err));
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_format_members(cluster, &out);
    json_decref(cluster);
    return kap_program_print(&out) ? KAP_OK : kap_fail(err, KAP_EIO, "cannot write to standard output");
}

static enum kap_status add(struct kap_client *c, const char *address, struct kap_error *err)
{
    json_t *body = json_pack("{s:s}", "rpc-address", address);
    if (body == NULL)
        return kap_fail(err, KAP_EINVAL, "the address is not valid UTF-8");
    const enum kap_status st = kap_client_json(c, "POST", "/cluster/members", body, NULL, err);
    json_decref(body);
    return st;
}

static enum kap_status drop(struct kap_client *c, const char *id, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    kap_buf_adds(&path, "/cluster/members/");
    kap_client_escape(&path, id);
    return kap_client_call(c, "DELETE", path.p, NULL, NULL, err);
}

static int misused(const char *what)
{
    fprintf(stderr, "Error: %s\n\n", what);
    print_usage(stderr);
    return KAP_EXIT_USAGE;
}

static int member(char **words, size_t n)
{
    const char *command = n > 1 ? words[1] : "";
    const bool is_list = strcmp(command, "list") == 0, is_add = strcmp(command, "add") == 0;
    if (!is_list && !is_add && strcmp(command, "remove") != 0)
        return misused(n > 1 ? "unknown member command; it is list, add or remove"
                             : "member needs a command: list, add or remove");
    if (n != (is_list ? 2u : 3u)) {
        fprintf(stderr, "Error: %s\n",
                is_list  ? "member list takes no arguments"
                : is_add ? "member add needs the RPC address of one member (host:port)"
                         : "member remove needs the ID of one member (see member list)");
        return KAP_EXIT_ARGUMENTS;
    }
    struct kap_client *c;
    struct kap_error err;
    if (kap_program_connect(url, skip_verify, &c, &err) != KAP_OK) {
        kap_program_failed(&err);
        return KAP_EXIT_CLIENT;
    }
    const enum kap_status st = is_list  ? list(c, &err)
                               : is_add ? add(c, words[2], &err)
                                        : drop(c, words[2], &err);
    kap_client_free(c);
    return st == KAP_OK ? 0 : kap_program_failed(&err);
}

int main(int argc, char **argv)
{
    char *words[16];
    size_t n = 0, used;
    struct kap_error err;
    for (size_t i = 1; i < (size_t)argc;) { /* flags may stand anywhere */
        if (kap_flags_parse(flags, argv + i, (size_t)argc - i, &used, &err) != KAP_OK)
            return misused(err.msg);
        i += used;
        if (i < (size_t)argc && n == KAP_COUNT(words))
            return misused("too many arguments");
        if (i < (size_t)argc)
            words[n++] = argv[i++];
    }
    if (n > 0 && strcmp(words[0], "member") == 0)
        return member(words, n);
    if (n > 0 && strcmp(words[0], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (n > 0 && strcmp(words[0], "version") == 0) {
        printf("kapacitor-ctl %s\n", KAP_VERSION);
        return 0;
    }
    return misused(n > 0 ? "unknown command" : "must pass a command");
}
