/* An SMTP server that takes every letter and keeps none, for less than Postfix's smtp-sink does.
 *
 *     cc -O2 -pthread -o light_sink light_sink.c
 *     ./light_sink PORT [MILLISECONDS]
 *
 * With MILLISECONDS every reply comes so much later, as over a link with that round trip: replies to
 * commands that came together leave together. It looks for the end of a letter and at the first
 * letter of each command, and at nothing else: for measuring on loopback, and for nothing else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM (256 * 1024)

static int delay; /* microseconds */

static const char *reply_to(char command)
{
    switch (command | 0x20) {
    case 'e': return "250-light\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n";
    case 'd': return "354 Go on\r\n";
    case 'q': return "221 2.0.0 Bye\r\n";
    default: return "250 2.0.0 Ok\r\n";
    }
}

/* Where the next line, or the letter, ends; NULL: not yet. */
static char *end_of(char *from, char *to, int in_letter)
{
    const char *end = in_letter ? "\r\n.\r\n" : "\r\n";
    char *found = memmem(from, to - from, end, strlen(end));
    return found ? found + strlen(end) : NULL;
}

static void *converse(void *argument)
{
    int wire = (int)(long)argument, in_letter = 0, is_over = 0, one = 1;
    char *room = malloc(ROOM), replies[8192];
    size_t held = 0;
    ssize_t came;

    setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (write(wire, "220 light\r\n", 11) < 0)
        is_over = 1;
    while (!is_over && (came = read(wire, room + held, ROOM - held)) > 0) {
        char *from = room, *to = room + held + came, *end;
        size_t said = 0;
        while (said < sizeof replies - 256 && (end = end_of(from, to, in_letter))) {
            const char *reply = in_letter ? "250 2.0.0 Taken\r\n" : reply_to(*from);
            memcpy(replies + said, reply, strlen(reply));
            said += strlen(reply);
            is_over = *reply == '2' && reply[2] == '1';
            in_letter = *reply == '3';
            from = end;
        }
        if (in_letter && to - from > 4) /* what was looked through is not looked through again */
            from = to - 4;
        held = to - from;
        memmove(room, from, held);
        if (said && delay)
            usleep(delay);
        if (said && write(wire, replies, said) < 0)
            break;
    }
    close(wire);
    free(room);
    return NULL;
}

int main(int count, char **arguments)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, wire;
    pthread_t thread;

    if (count < 2)
        return 2;
    delay = count > 2 ? atoi(arguments[2]) * 1000 : 0;
    here.sin_port = htons(atoi(arguments[1]));
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1000))
        return 1;
    while ((wire = accept(listener, NULL, NULL)) >= 0)
        if (pthread_create(&thread, NULL, converse, (void *)(long)wire) == 0)
            pthread_detach(thread);
    return 1;
}
