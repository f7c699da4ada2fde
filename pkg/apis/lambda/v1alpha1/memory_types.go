package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// MemorySpec is an agent's memory.
//
// +kubebuilder:validation:XValidation:rule="!has(self.enabled) || !self.enabled || !has(self.shortTerm) || !has(self.shortTerm.enabled) || !self.shortTerm.enabled || has(self.shortTerm.redisSecretRef)",message="redis is reached by the URL in a Secret",fieldPath=".shortTerm.redisSecretRef",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="!has(self.enabled) || !self.enabled || !has(self.longTerm) || !has(self.longTerm.enabled) || !self.longTerm.enabled || has(self.longTerm.postgresSecretRef)",message="postgres is reached by the URL in a Secret",fieldPath=".longTerm.postgresSecretRef",reason=FieldValueRequired
type MemorySpec struct {
	// Enabled turns memory on.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// Schema of what is remembered.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Schema string `json:"schema,omitempty"`

	// ShortTerm memory of conversations.
	// +optional
	ShortTerm *ShortTermMemory `json:"shortTerm,omitempty"`

	// LongTerm memory of facts.
	// +optional
	LongTerm *LongTermMemory `json:"longTerm,omitempty"`

	// WorkingMemory of a task.
	// +optional
	WorkingMemory *WorkingMemory `json:"workingMemory,omitempty"`

	// UserMemory of what users prefer.
	// +optional
	UserMemory *UserMemory `json:"userMemory,omitempty"`

	// DefaultConstraints that the agent always keeps to.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	DefaultConstraints []MemoryConstraint `json:"defaultConstraints,omitempty"`
}

// MemoryToggle turns a kind of memory on.
type MemoryToggle struct {
	// Enabled turns it on.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
}

// WorkingMemory of a task.
type WorkingMemory struct {
	MemoryToggle `json:",inline"`

	// TrackDecisions asks the agent to remember what it decided.
	// +optional
	TrackDecisions *bool `json:"trackDecisions,omitempty"`

	// TrackProgress asks the agent to remember how far it got.
	// +optional
	TrackProgress *bool `json:"trackProgress,omitempty"`
}

// UserMemory of what users prefer.
type UserMemory struct {
	MemoryToggle `json:",inline"`

	// StoreFacts asks the agent to remember facts about users.
	// +optional
	StoreFacts *bool `json:"storeFacts,omitempty"`

	// StorePreferences asks the agent to remember what users prefer.
	// +optional
	StorePreferences *bool `json:"storePreferences,omitempty"`
}

// ShortTermMemory keeps conversations in Redis.
type ShortTermMemory struct {
	MemoryToggle `json:",inline"`

	// Backend of the memory; default redis.
	// +optional
	// +kubebuilder:validation:Enum=redis
	Backend string `json:"backend,omitempty"`

	// RedisSecretRef is the key of a Secret that holds the URL.
	// +optional
	RedisSecretRef *corev1.SecretKeySelector `json:"redisSecretRef,omitempty"`

	// TTLSeconds after which an idle conversation is forgotten.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TTLSeconds *int64 `json:"ttlSeconds,omitempty"`
}

// LongTermMemory keeps facts in PostgreSQL.
type LongTermMemory struct {
	MemoryToggle `json:",inline"`

	// Backend of the memory; default postgres.
	// +optional
	// +kubebuilder:validation:Enum=postgres
	Backend string `json:"backend,omitempty"`

	// PostgresSecretRef is the key of a Secret that holds the URL.
	// +optional
	PostgresSecretRef *corev1.SecretKeySelector `json:"postgresSecretRef,omitempty"`
}

// MemoryConstraint is a rule that the agent keeps to.
type MemoryConstraint struct {
	// Description of the rule.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description"`

	// Hard rules are never broken.
	// +optional
	Hard bool `json:"hard,omitempty"`

	// Category of the rule.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Category string `json:"category,omitempty"`
}
