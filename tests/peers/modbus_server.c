/* A conveyor behind Modbus TCP, on libmodbus: a reading of docs/plc-interface.md by nobody who wrote our driver.
 *
 *   modbus_server [--port N] [--zones N] [--beat-ms N] [--boot-id N] [--bare]
 *
 * Prints "PORT n libmodbus VERSION" on stdout when it listens on 127.0.0.1, and ends when stdin is closed. Lines on stdin:
 *
 *   set REG VALUE   put a value into a holding register
 *   beat MS         the heartbeat's period from now on; 0 stops it
 *   work MS         time between taking a command and being through with it
 *   slow MS         wait so long before each reply
 *   drop            close every connection
 *   print-log       one line of JSON: what was run, how often, and what was asked of it
 *   die             end at once, with no goodbye
 *
 * Each is answered by one line on stdout ("OK", or the JSON). --bare is for load: memory and nothing else, no PLC.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 16,
    SIZE = 2000,
    ZONES_MAX = 100,
    LINE_MAX_BYTES = 256,
    LOG_MAX = 256,
    SEQ_MAX = 4096,
    POLL_MS = 10,
    PARTIAL_MS = 500,
};
enum { BOOT_ID = 1, EPOCH = 2, ACK_SEQ = 4, DONE_SEQ = 6, RESULT = 8, STATE = 9, MODE = 10 };
enum { ZONES_AT = 100, ZONE_STRIDE = 8, ARRIVALS = 1, DEPARTURES = 2, TRACK = 3 };
enum { HB_GW = 1000, CMD_EPOCH = 1001, CMD_CODE = 1003, CMD_ZONE = 1004, CMD_TRACK = 1005, CMD_SEQ = 1007, CMD_END = 1009 };
enum { INDUCT = 1, DISCHARGE = 2, RESET_ZONE = 3 };
enum { OK = 1, NOT_NOW = 2, INVALID = 3, OLDER_EPOCH = 4, NOT_THERE = 6 };
enum { OCCUPIED = 1, JAM_AT_ARRIVAL = 8, JAM_AT_SENSOR = 16 };

typedef struct {
    uint32_t seq, epoch, track;
    int code, zone, result;
} run_t;

static modbus_t *context;
static modbus_mapping_t *memory;
static uint16_t *word;
static struct pollfd polled[2 + CONNECTIONS_MAX];
static int count = 2; /* stdin and the listener come first */

static int zones = 12, beat_ms = 200, work_ms, slow_ms, is_bare;
static run_t runs[LOG_MAX];
static int run_count;
static uint32_t accepted[SEQ_MAX];
static int accepted_results[SEQ_MAX];
static int accepted_count;
static run_t busy;
static int is_busy;
static long long done_at_ms, beat_at_ms;
static long beats_heard, requests, repeats, refused_writes, connections;
static uint16_t beat_heard;

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static uint32_t get_u32(int at) { return (uint32_t) word[at] << 16 | word[at + 1]; }

static void put_u32(int at, uint32_t value) {
    word[at] = value >> 16;
    word[at + 1] = value & 0xFFFF;
}

static void say(const char *text) {
    printf("%s\n", text);
    fflush(stdout);
}

/* --- the PLC program --- */

static int run_command(const run_t *command) {
    int at = ZONES_AT + ZONE_STRIDE * (command->zone - 1);
    if (command->zone < 1 || command->zone > zones)
        return INVALID;
    uint32_t there = get_u32(at + TRACK);
    switch (command->code) {
    case INDUCT:
        if (command->track == 0)
            return INVALID;
        if (!(word[at] & OCCUPIED) || (there != 0 && there != command->track))
            return NOT_NOW;
        put_u32(at + TRACK, command->track);
        return OK;
    case DISCHARGE:
        if (!(word[at] & OCCUPIED) || there != command->track)
            return NOT_THERE;
        word[at] &= ~OCCUPIED;
        word[at + DEPARTURES]++;
        put_u32(at + TRACK, 0);
        return OK;
    case RESET_ZONE:
        word[at] &= ~(JAM_AT_ARRIVAL | JAM_AT_SENSOR);
        return OK;
    default:
        return INVALID;
    }
}

static void finish(void) {
    busy.result = run_command(&busy);
    if (run_count < LOG_MAX)
        runs[run_count++] = busy;
    accepted_results[accepted_count - 1] = busy.result;
    put_u32(DONE_SEQ, busy.seq);
    word[RESULT] = busy.result;
    is_busy = 0;
}

static void echo(uint32_t seq, int result) {
    put_u32(ACK_SEQ, seq);
    put_u32(DONE_SEQ, seq);
    word[RESULT] = result;
}

static void take_command(void) {
    run_t command = {get_u32(CMD_SEQ), get_u32(CMD_EPOCH), get_u32(CMD_TRACK), word[CMD_CODE], word[CMD_ZONE], 0};
    if (command.seq == 0 || is_busy)
        return;
    for (int i = 0; i < accepted_count; i++) {
        if (accepted[i] == command.seq) {
            repeats++;
            echo(command.seq, accepted_results[i]);
            return;
        }
    }
    if (command.epoch < get_u32(EPOCH)) {
        echo(command.seq, OLDER_EPOCH);
        return;
    }
    if (accepted_count == SEQ_MAX) {
        fprintf(stderr, "more than %d commands: this PLC is made for tests\n", SEQ_MAX);
        exit(3);
    }
    accepted[accepted_count++] = command.seq;
    put_u32(EPOCH, command.epoch);
    put_u32(ACK_SEQ, command.seq);
    busy = command;
    is_busy = 1;
    done_at_ms = now_ms() + work_ms;
    if (work_ms == 0)
        finish();
}

static void scan(void) {
    long long now = now_ms();
    if (beat_ms > 0 && now >= beat_at_ms) {
        word[0]++;
        beat_at_ms = now + beat_ms;
    }
    if (is_busy && now >= done_at_ms)
        finish();
}

/* --- the wire --- */

/* Which registers a request writes; 0 for one that writes none. */
static int written_by(const uint8_t *pdu, int *first, int *end) {
    int at = pdu[1] << 8 | pdu[2];
    switch (pdu[0]) {
    case MODBUS_FC_WRITE_SINGLE_REGISTER:
    case MODBUS_FC_MASK_WRITE_REGISTER:
        *first = at;
        *end = at + 1;
        return 1;
    case MODBUS_FC_WRITE_MULTIPLE_REGISTERS:
        *first = at;
        *end = at + (pdu[3] << 8 | pdu[4]);
        return 1;
    case MODBUS_FC_WRITE_AND_READ_REGISTERS:
        *first = pdu[5] << 8 | pdu[6];
        *end = *first + (pdu[7] << 8 | pdu[8]);
        return 1;
    default:
        return 0;
    }
}

static void serve(const uint8_t *query, int length) {
    int first = 0, end = 0;
    const uint8_t *pdu = query + modbus_get_header_length(context);
    requests++;
    if (slow_ms > 0)
        usleep(slow_ms * 1000);
    int is_write = !is_bare && written_by(pdu, &first, &end);
    if (is_write && (first < HB_GW || end > CMD_END)) {
        refused_writes++;
        modbus_reply_exception(context, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
        return;
    }
    modbus_reply(context, query, length, memory);
    if (!is_write)
        return;
    if (first == HB_GW && word[HB_GW] != beat_heard) {
        beat_heard = word[HB_GW];
        beats_heard++;
    }
    if (first < CMD_END && end == CMD_END)
        take_command();
}

static void hang_up(int index) {
    close(polled[index].fd);
    polled[index] = polled[--count];
}

static void welcome(int listener) {
    int fd = accept(listener, NULL, NULL), yes = 1;
    if (fd < 0)
        return;
    if (count == 2 + CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connections++;
    polled[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void answer(int index) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(context, polled[index].fd);
    int length = modbus_receive(context, query);
    if (length > 0)
        serve(query, length);
    else if (length < 0)
        hang_up(index);
}

/* --- the test's hand --- */

static void print_log(void) {
    printf("{\"beats_heard\": %ld, \"requests\": %ld, \"repeats\": %ld, \"refused_writes\": %ld, \"connections\": %ld, ",
           beats_heard, requests, repeats, refused_writes, connections);
    printf("\"beat_heard\": %d, \"runs\": [", word[HB_GW]);
    for (int i = 0; i < run_count; i++)
        printf("%s{\"seq\": %u, \"epoch\": %u, \"code\": %d, \"zone\": %d, \"track\": %u, \"result\": %d}", i ? ", " : "",
               runs[i].seq, runs[i].epoch, runs[i].code, runs[i].zone, runs[i].track, runs[i].result);
    say("]}");
}

static void obey(char *line) {
    int a = 0, b = 0;
    if (sscanf(line, "set %d %d", &a, &b) == 2 && a >= 0 && a < SIZE)
        word[a] = b;
    else if (sscanf(line, "beat %d", &a) == 1)
        beat_ms = a;
    else if (sscanf(line, "work %d", &a) == 1)
        work_ms = a;
    else if (sscanf(line, "slow %d", &a) == 1)
        slow_ms = a;
    else if (strcmp(line, "drop") == 0)
        while (count > 2)
            hang_up(2);
    else if (strcmp(line, "print-log") == 0) {
        print_log();
        return;
    } else if (strcmp(line, "die") == 0)
        _exit(9);
    else {
        printf("? %s\n", line);
        fflush(stdout);
        return;
    }
    say("OK");
}

/* 0 when stdin has ended. Lines may come in pieces. */
static int listen_to_stdin(void) {
    static char text[LINE_MAX_BYTES];
    static int length;
    int got = read(0, text + length, sizeof text - 1 - length);
    if (got <= 0)
        return 0;
    length += got;
    text[length] = 0;
    char *begin = text, *end;
    while ((end = strchr(begin, '\n')) != NULL) {
        *end = 0;
        obey(begin);
        begin = end + 1;
    }
    length -= begin - text;
    memmove(text, begin, length);
    return length < (int) sizeof text - 1;
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof address;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *) &address, sizeof address) < 0 || listen(listener, CONNECTIONS_MAX) < 0) {
        fprintf(stderr, "can't listen on 127.0.0.1:%d: %s\n", port, strerror(errno));
        exit(2);
    }
    getsockname(listener, (struct sockaddr *) &address, &size);
    printf("PORT %d libmodbus %d.%d.%d\n", ntohs(address.sin_port), libmodbus_version_major, libmodbus_version_minor,
           libmodbus_version_micro);
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    int port = 0, boot_id = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bare") == 0)
            is_bare = 1;
        else if (i + 1 == argc) {
            fprintf(stderr, "%s needs a number\n", argv[i]);
            return 2;
        } else {
            int value = atoi(argv[i + 1]);
            if (strcmp(argv[i], "--port") == 0)
                port = value;
            else if (strcmp(argv[i], "--zones") == 0)
                zones = value;
            else if (strcmp(argv[i], "--beat-ms") == 0)
                beat_ms = value;
            else if (strcmp(argv[i], "--boot-id") == 0)
                boot_id = value;
            else {
                fprintf(stderr, "no such option: %s\n", argv[i]);
                return 2;
            }
            i++;
        }
    }
    if (zones < 1 || zones > ZONES_MAX) {
        fprintf(stderr, "%d zones: it plays 1 to %d\n", zones, ZONES_MAX);
        return 2;
    }
    context = modbus_new_tcp("127.0.0.1", port);
    memory = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
    if (context == NULL || memory == NULL)
        return 2;
    modbus_set_indication_timeout(context, 0, PARTIAL_MS * 1000); /* half a request must not stop the others */
    word = memory->tab_registers;
    word[BOOT_ID] = boot_id;
    word[STATE] = 6;
    word[MODE] = 1;
    polled[0] = (struct pollfd){.fd = 0, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = listen_on(port), .events = POLLIN};
    for (;;) {
        poll(polled, count, is_bare ? -1 : POLL_MS);
        if (!is_bare)
            scan();
        if (polled[0].revents && !listen_to_stdin())
            return 0;
        for (int i = count - 1; i >= 2; i--)
            if (polled[i].revents)
                answer(i);
        if (polled[1].revents)
            welcome(polled[1].fd);
    }
}
