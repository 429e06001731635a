/* What libmodbus in C needs for the same reads: seconds of CPU and of wall clock for N reads of 125 registers,
 * over as many connections as are asked for, one after another. Usage: modbus_floor PORT CONNECTIONS READS */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CONNECTIONS_MAX 64
#define COUNT 125
#define DEVICE_REGISTERS 12500

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s PORT CONNECTIONS READS\n", argv[0]);
        return 2;
    }
    int port = atoi(argv[1]), connections = atoi(argv[2]);
    long reads = atol(argv[3]);
    modbus_t *line[CONNECTIONS_MAX];
    uint16_t words[COUNT];
    if (connections < 1 || connections > CONNECTIONS_MAX || reads < 1)
        return 2;
    for (int i = 0; i < connections; i++) {
        line[i] = modbus_new_tcp("127.0.0.1", port);
        if (line[i] == NULL || modbus_connect(line[i]) != 0) {
            fprintf(stderr, "connection %d: %s\n", i, modbus_strerror(errno));
            return 1;
        }
        modbus_set_slave(line[i], 1);
    }
    double cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID), wall_s = now_s(CLOCK_MONOTONIC);
    for (long n = 0; n < reads; n++) {
        int address = (int)((n / connections) % (DEVICE_REGISTERS / COUNT)) * COUNT;
        if (modbus_read_registers(line[n % connections], address, COUNT, words) != COUNT) {
            fprintf(stderr, "read %ld: %s\n", n, modbus_strerror(errno));
            return 1;
        }
    }
    printf("%.6f %.6f\n", now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s, now_s(CLOCK_MONOTONIC) - wall_s);
    for (int i = 0; i < connections; i++) {
        modbus_close(line[i]);
        modbus_free(line[i]);
    }
    return 0;
}
