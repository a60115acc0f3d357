// What an image needs of Luau's own structures: to look at objects, to make new ones, and to put what was saved into
// them. There is no decision in this file. Who calls these functions has checked all that they are given: see heap.rs.
//
// What allocates throws where there is no memory.

#include "lapi.h"
#include "lbuffer.h"
#include "ldo.h"
#include "lfunc.h"
#include "lgc.h"
#include "lmem.h"
#include "lobject.h"
#include "lstate.h"
#include "lstring.h"
#include "ltable.h"
#include "ludata.h"
#include "lua.h"

#include "Luau/Bytecode.h"
#include "Luau/BytecodeUtils.h"

#include <stddef.h>
#include <string.h>

// What heap.rs has of these.
static_assert(sizeof(TValue) == 16 && offsetof(TValue, value) == 0, "TValue");
static_assert(offsetof(TValue, extra) == 8 && offsetof(TValue, tt) == 12, "TValue");
static_assert(sizeof(LuaNode) == 32 && offsetof(LuaNode, val) == 0 && offsetof(LuaNode, key) == 16, "LuaNode");
static_assert(offsetof(TKey, value) == 0 && offsetof(TKey, extra) == 8, "TKey");
static_assert(LUA_VECTOR_SIZE == 3 && LUA_EXTRA_SIZE == 1, "vectors");
static_assert(sizeof(void*) == 8, "pointers");
static_assert(LUA_TNIL == 0 && LUA_TBOOLEAN == 1 && LUA_TLIGHTUSERDATA == 2 && LUA_TNUMBER == 3, "types");
static_assert(LUA_TINTEGER == 4 && LUA_TVECTOR == 5 && LUA_TSTRING == 6 && LUA_TTABLE == 7, "types");
static_assert(LUA_TFUNCTION == 8 && LUA_TUSERDATA == 9 && LUA_TTHREAD == 10 && LUA_TBUFFER == 11, "types");
static_assert(LUA_TDEADKEY == 14 && LUA_TUPVAL == 16 && LU_TAG_ITERATOR == 128, "types");

struct ImageTable
{
    TValue* elements;
    LuaNode* nodes;
    LuaTable* metatable;
    int32_t element_count;
    int32_t free;
    uint8_t log_nodes;
    uint8_t has_nodes;
    uint8_t is_read_only;
    uint8_t is_safe;
};

struct ImageFunction
{
    LuaTable* environment;
    Proto* code;
    void* native;
    void* continuation;
    TString* name;
    TValue* upvalues;
    uint8_t is_native;
    uint8_t upvalue_count;
};

struct ImageCode
{
    const Instruction* words;
    Proto** children;
    TString* source;
    int32_t word_count;
    int32_t child_count;
    int32_t constant_count;
    int32_t id;
    uint8_t upvalues;
    uint8_t parameters;
    uint8_t is_variadic;
    uint8_t registers;
};

struct ImageThread
{
    TValue* stack;
    LuaTable* globals;
    UpVal* open;
    void* finalizers;
    int32_t top;
    int32_t base;
    int32_t frames;
    int32_t size;
    uint16_t calls;
    uint8_t status;
    uint8_t is_active;
};

struct ImageFrame
{
    int32_t function;
    int32_t base;
    int32_t top;
    int32_t next; // the next instruction, or the place of the handler of errors
    int32_t results;
    uint32_t flags;
    uint8_t is_script;
};

struct ImageUpvalue
{
    TValue* value;
    UpVal* next;
    uint8_t is_open;
};

// What an instruction is to code.rs, and how many words it has.
enum
{
    WORD_OTHER,
    WORD_CALL,
    WORD_RETURN,
    WORD_NUMERIC_LOOP,
    WORD_GENERIC_LOOP,
    WORD_JUMP_BACK,
    WORD_SET_UPVALUE,
    WORD_NEW_CLOSURE,
    WORD_COPY_CLOSURE,
    WORD_CAPTURE,
    WORD_VARIADIC,
    WORD_NEW_TABLE,
    WORD_SET_LIST,
    WORD_UNKNOWN,
};

extern "C"
{

void luau_os_image_word(uint8_t op, uint8_t* what, uint8_t* words)
{
    *words = op < LOP__COUNT ? uint8_t(Luau::getOpLength(LuauOpcode(op))) : 1;
    switch (op)
    {
    case LOP_CALL:
        *what = WORD_CALL;
        break;
    case LOP_RETURN:
        *what = WORD_RETURN;
        break;
    case LOP_FORNLOOP:
        *what = WORD_NUMERIC_LOOP;
        break;
    case LOP_FORGLOOP:
        *what = WORD_GENERIC_LOOP;
        break;
    case LOP_JUMPBACK:
    case LOP_JUMPX:
        *what = WORD_JUMP_BACK;
        break;
    case LOP_SETUPVAL:
        *what = WORD_SET_UPVALUE;
        break;
    case LOP_NEWCLOSURE:
        *what = WORD_NEW_CLOSURE;
        break;
    case LOP_DUPCLOSURE:
        *what = WORD_COPY_CLOSURE;
        break;
    case LOP_CAPTURE:
        *what = WORD_CAPTURE;
        break;
    case LOP_PREPVARARGS:
        *what = WORD_VARIADIC;
        break;
    case LOP_NEWTABLE:
    case LOP_DUPTABLE:
        *what = WORD_NEW_TABLE;
        break;
    case LOP_SETLIST:
        *what = WORD_SET_LIST;
        break;
    // of experiments, and of debuggers
    case LOP_BREAK:
    case LOP_NATIVECALL:
    case LOP_CALLFB:
    case LOP_CMPPROTO:
    case LOP_FASTPCALL:
    case LOP_NEWCLASS:
    case LOP_NEWCLASSMEMBER:
        *what = WORD_UNKNOWN;
        break;
    default:
        *what = op < LOP__COUNT ? WORD_OTHER : WORD_UNKNOWN;
    }
}

uint8_t luau_os_image_kind(const GCObject* object)
{
    return object->gch.tt;
}

const char* luau_os_image_string(const TString* string, size_t* length)
{
    *length = string->len;
    return getstr(string);
}

char* luau_os_image_buffer(Buffer* buffer, size_t* length)
{
    *length = buffer->len;
    return buffer->data;
}

// Whether `newproxy` has made it.
LuaTable* luau_os_image_userdata(const Udata* userdata, uint8_t* is_proxy)
{
    *is_proxy = userdata->len == 0 && userdata->tag == UTAG_PROXY;
    return userdata->metatable;
}

void luau_os_image_table(const LuaTable* table, ImageTable* out)
{
    out->elements = table->array;
    out->nodes = table->node;
    out->metatable = table->metatable;
    out->element_count = table->sizearray;
    out->free = table->lastfree;
    out->log_nodes = table->lsizenode;
    out->has_nodes = table->node != &luaH_dummynode;
    out->is_read_only = table->readonly & 1;
    out->is_safe = table->safeenv;
}

void luau_os_image_function(Closure* function, ImageFunction* out)
{
    out->environment = function->env;
    out->is_native = function->isC;
    out->upvalue_count = function->nupvalues;
    out->code = function->isC ? nullptr : function->l.p;
    out->native = function->isC ? (void*)function->c.f : nullptr;
    out->continuation = function->isC ? (void*)function->c.cont : nullptr;
    out->name = function->isC ? function->c.debugname : nullptr;
    out->upvalues = function->isC ? function->c.upvals : function->l.uprefs;
}

void luau_os_image_code(const Proto* code, ImageCode* out)
{
    out->words = code->code;
    out->children = code->p;
    out->source = code->source;
    out->word_count = code->sizecode;
    out->child_count = code->sizep;
    out->constant_count = code->sizek;
    out->id = code->bytecodeid;
    out->upvalues = code->nups;
    out->parameters = code->numparams;
    out->is_variadic = code->is_vararg;
    out->registers = code->maxstacksize;
}

// The code of a constant that is a function.
Proto* luau_os_image_constant_code(const Proto* code, int32_t constant)
{
    if (constant < 0 || constant >= code->sizek)
        return nullptr;
    const TValue* value = &code->k[constant];
    return ttisfunction(value) && !clvalue(value)->isC ? clvalue(value)->l.p : nullptr;
}

// Whether two are compiled from the same source by the same compiler.
int luau_os_image_same_code(const Proto* a, const Proto* b)
{
    if (a->source != b->source || a->bytecodeid != b->bytecodeid || a->sizecode != b->sizecode || a->sizek != b->sizek ||
        a->sizep != b->sizep || a->nups != b->nups || a->numparams != b->numparams || a->is_vararg != b->is_vararg ||
        a->maxstacksize != b->maxstacksize || a->linedefined != b->linedefined)
        return 0;
    for (int i = 0; i < a->sizecode; i += Luau::getOpLength(LuauOpcode(LUAU_INSN_OP(a->code[i]))))
        // The last byte may be a guess of where something is.
        if ((a->code[i] & 0xffffff) != (b->code[i] & 0xffffff))
            return 0;
    for (int i = 0; i < a->sizek; ++i)
    {
        const TValue *x = &a->k[i], *y = &b->k[i];
        if (ttype(x) != ttype(y))
            return 0;
        if (!ttisfunction(x) && !ttistable(x) && !luaO_rawequalObj(x, y))
            return 0;
    }
    return 1;
}

void luau_os_image_thread(lua_State* thread, ImageThread* out)
{
    out->stack = thread->stack;
    out->globals = thread->gt;
    out->open = thread->openupval;
    out->finalizers = thread->finalizers;
    out->top = int32_t(thread->top - thread->stack);
    out->base = int32_t(thread->base - thread->stack);
    out->frames = int32_t(thread->ci - thread->base_ci) + 1;
    out->size = thread->stacksize;
    out->calls = thread->nCcalls;
    out->status = thread->status;
    out->is_active = thread->isactive;
}

// Not of the first frame, which no function has.
void luau_os_image_frame(lua_State* thread, int32_t index, ImageFrame* out)
{
    const CallInfo* frame = thread->base_ci + index;
    out->function = int32_t(frame->func - thread->stack);
    out->base = int32_t(frame->base - thread->stack);
    out->top = int32_t(frame->top - thread->stack);
    out->is_script = frame->p != nullptr;
    out->next = frame->p ? int32_t(frame->savedpc - frame->p->code) : frame->errfunc;
    out->results = frame->nresults;
    out->flags = frame->flags;
}

void luau_os_image_upvalue(UpVal* upvalue, ImageUpvalue* out)
{
    out->value = upvalue->v;
    out->is_open = upisopen(upvalue);
    out->next = upisopen(upvalue) ? upvalue->u.open.threadnext : nullptr;
}

// The value at an index of a stack.
const TValue* luau_os_image_at(lua_State* L, int32_t index)
{
    return luaA_toobject(L, index);
}

// There must be room for it.
void luau_os_image_push(lua_State* L, const TValue* value)
{
    luaC_threadbarrier(L);
    setobj2s(L, L->top, value);
    L->top++;
}

TString* luau_os_image_new_string(lua_State* L, const char* text, size_t length)
{
    return luaS_newlstr(L, text, length);
}

Buffer* luau_os_image_new_buffer(lua_State* L, size_t length)
{
    return luaB_newbuffer(L, length);
}

Udata* luau_os_image_new_userdata(lua_State* L)
{
    return luaU_newudata(L, 0, UTAG_PROXY);
}

void luau_os_image_set_metatable(Udata* userdata, LuaTable* metatable)
{
    userdata->metatable = metatable;
}

// With so many elements and nodes, all of them nil.
LuaTable* luau_os_image_new_table(lua_State* L, int32_t elements, int32_t nodes)
{
    return luaH_new(L, elements, nodes);
}

void luau_os_image_finish_table(
    lua_State* L,
    LuaTable* table,
    LuaTable* metatable,
    int32_t free,
    uint8_t is_read_only,
    uint8_t is_safe
)
{
    table->metatable = metatable;
    table->lastfree = free;
    table->safeenv = is_safe;
    table->tmcache = 0;
    if (is_read_only)
        luaH_setreadonly(L, table, true);
}

void luau_os_image_freeze(lua_State* L, LuaTable* table)
{
    if (!luaH_getreadonly(table))
        luaH_setreadonly(L, table, true);
}

// What a table has for a key.
const TValue* luau_os_image_get(LuaTable* table, const TValue* key)
{
    return luaH_get(table, key);
}

// Where a table has, or gets, something for a key, which must not be nil or NaN.
TValue* luau_os_image_set(lua_State* L, LuaTable* table, const TValue* key)
{
    return luaH_set(L, table, key);
}

Closure* luau_os_image_new_function(lua_State* L, Proto* code, LuaTable* environment)
{
    return luaF_newLclosure(L, code->nups, environment, code);
}

Closure* luau_os_image_new_native(
    lua_State* L,
    int32_t upvalues,
    LuaTable* environment,
    void* function,
    void* continuation,
    TString* name
)
{
    Closure* made = luaF_newCclosure(L, upvalues, environment);
    made->c.f = lua_CFunction(function);
    made->c.cont = lua_Continuation(continuation);
    made->c.debugname = name;
    for (int i = 0; i < upvalues; ++i)
        setnilvalue(&made->c.upvals[i]);
    return made;
}

void luau_os_image_set_environment(Closure* function, LuaTable* environment)
{
    function->env = environment;
}

UpVal* luau_os_image_new_upvalue(lua_State* L)
{
    UpVal* made = luaM_newgco(L, UpVal, sizeof(UpVal), L->activememcat, LUA_TUPVAL);
    luaC_init(L, made, LUA_TUPVAL);
    made->markedopen = 0;
    made->v = &made->u.value;
    setnilvalue(made->v);
    return made;
}

// The value of a closed one.
TValue* luau_os_image_upvalue_value(UpVal* upvalue)
{
    return upvalue->v;
}

// With a stack of so many values and so many frames.
lua_State* luau_os_image_new_thread(lua_State* L, int32_t values, int32_t frames)
{
    lua_State* made = luaE_newthread(L);
    if (values > made->stacksize - EXTRA_STACK)
        luaD_reallocstack(made, values, 0);
    if (frames >= made->size_ci)
        luaD_reallocCI(made, frames + 1);
    return made;
}

// The open upvalue of a place on the stack of a thread.
UpVal* luau_os_image_open_upvalue(lua_State* thread, int32_t place)
{
    bool is_active = thread->isactive;
    thread->isactive = true;
    UpVal* made = luaF_findupval(thread, thread->stack + place);
    thread->isactive = is_active;
    return made;
}

TValue* luau_os_image_stack(lua_State* thread)
{
    return thread->stack;
}

// A frame that is not the first one. Its function must be on the stack.
void luau_os_image_set_frame(lua_State* thread, int32_t index, const ImageFrame* from)
{
    CallInfo* frame = thread->base_ci + index;
    frame->func = thread->stack + from->function;
    frame->base = thread->stack + from->base;
    frame->top = thread->stack + from->top;
    frame->nresults = from->results;
    frame->flags = from->flags;
    Closure* function = clvalue(frame->func);
    frame->p = function->isC ? nullptr : function->l.p;
    frame->savedpc = nullptr;
    if (function->isC)
        frame->errfunc = from->next;
    else
        frame->savedpc = frame->p->code + from->next;
}

// After its frames.
void luau_os_image_finish_thread(lua_State* thread, const ImageThread* from)
{
    thread->gt = from->globals;
    thread->top = thread->stack + from->top;
    thread->base = thread->stack + from->base;
    thread->ci = thread->base_ci + (from->frames - 1);
    thread->status = from->status;
    thread->nCcalls = thread->baseCcalls = from->calls;
    if (thread->base_ci->top < thread->top && from->frames == 1)
        thread->base_ci->top = thread->top;
}

// Asserts that the whole state is as it should be, where Luau has assertions.
void luau_os_image_validate(lua_State* L)
{
    luaC_validate(L);
}

} // extern "C"
